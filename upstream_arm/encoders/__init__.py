"""Speech encoders of transformers: their files, of the hub and in folders, and s3prl's interface to them."""
