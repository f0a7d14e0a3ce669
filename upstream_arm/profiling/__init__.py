"""Parameters and multiply-accumulates (MACs) as SUPERB counts them: by formula, or measured on any module."""
