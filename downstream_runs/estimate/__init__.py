"""Hours and disk of full runs on the machine at hand, predicted from a short measurement."""
