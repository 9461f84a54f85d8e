"""From a model's folder to checked weights and configurations."""
