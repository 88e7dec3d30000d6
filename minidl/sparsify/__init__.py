"""Ways to a network of few weights, each ending in masks on Parameters; ``compress`` has them all by name."""
