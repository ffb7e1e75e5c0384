"""The Kubernetes API as the control plane uses it: raw objects, watched and written. Decides nothing."""
