/// The version of the program, in `--version`, reports and manifests.
public let toolVersion = "0.1.0"
