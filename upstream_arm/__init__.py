"""The ARMHuBERT family of students as s3prl upstreams (arXiv 2305.11685)."""
