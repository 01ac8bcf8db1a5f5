"""The comparison of tuning methods: what is run, and what it shows."""
