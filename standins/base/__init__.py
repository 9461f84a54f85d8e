"""What every stand-in needs: clocks, faults, events."""
