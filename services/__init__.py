"""The suite's services; none imports another: they meet in `proto/`, in `contract` and on topics."""
