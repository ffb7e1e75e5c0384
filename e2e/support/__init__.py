"""What end-to-end tests share: a cluster, kubectl in a namespace of its own, images, a control plane's certificates."""
