"""Making a student: masking distillation from a frozen teacher (arXiv 2305.11685, section 3.2)."""
