"""`python -m river_attention` is the command `river-attention`."""

from .cli import run

if __name__ == "__main__":
    run()
