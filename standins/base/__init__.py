"""What every stand-in needs: clocks, faults, events, the parts of a page."""
