"""Results that are shared: bundles of runs, repositories of bundles, their site, and model cards."""
