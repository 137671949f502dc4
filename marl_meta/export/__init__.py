"""A trained team for everybody else's loops: players of flat observations, ONNX files, scripts that stand alone."""
