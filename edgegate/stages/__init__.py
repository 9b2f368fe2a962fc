"""The stages of the chain, one file each. `build` (in edgegate/server/build.py) makes them from the configuration."""
