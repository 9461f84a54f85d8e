"""The four networks of Stable Diffusion XL in flax.nnx.

Conventions that hold in every file here:
- pictures and latents are NHWC, tokens are (batch, token, feature);
- a module computes in the dtype of its parameters; what must stay float32 says so and why;
- attribute names are those of the checkpoint (diffusers, transformers), so that
  `sdxl_engine.checkpoint.names` can map one to the other by rule.
"""
