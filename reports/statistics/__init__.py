"""How sure the numbers are: bootstrap intervals and paired tests, from test items and trials."""
