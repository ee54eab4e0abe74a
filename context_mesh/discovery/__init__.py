"""Finding APIs that could become tools. Everything found is a proposal; going live is somebody's decision."""
