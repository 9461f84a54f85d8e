"""LoRAs (Hu et al. 2021) at run time: their files, what they change, and the weights with them."""
