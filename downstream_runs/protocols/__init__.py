"""How a trained run is tested where that is more than its best checkpoint on dev, one task a module."""
