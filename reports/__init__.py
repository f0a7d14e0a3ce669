"""Results, published rows and the tables made of them."""
