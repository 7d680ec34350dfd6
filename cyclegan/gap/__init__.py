"""The domain-gap report: what tells synthetic pictures from real ones, style or morphology."""
