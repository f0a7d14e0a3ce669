"""How alike the attention maps of a model's layers and heads are, and which of them others could reuse."""
