internal import ArgumentParser
internal import Compression
internal import ModelFiles

/// An artifact to the standard file inside it.
struct UnpackCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "unpack",
    abstract:
      "Decode an artifact to the standard GGUF or safetensors file in it; the same bytes as `zstd -d`.",
    discussion: """
      EXAMPLES
        compress unpack out/1-int4/model.gguf.zst                  writes out/1-int4/model.gguf
        compress unpack out/1-int4/model.gguf.zst -o /models/m.gguf
      """)

  @Argument(help: "An artifact.")
  var artifact: String

  @OptionGroup var common: CommonArguments

  @Option(name: [.short, .long], help: "The file to write (default: the artifact's name without .zst).")
  var output: String?

  @Flag(help: "Replace an existing file.")
  var force = false

  func run() throws {
    common.apply()
    Interruption.install()
    guard let target = output ?? (artifact.hasSuffix(".zst") ? String(artifact.dropLast(4)) : nil) else {
      throw JobError(.usage, "\(artifact): the name does not end in .zst; say where to write with -o")
    }
    try OutputPlace.check(file: target, inputs: [artifact], force: force)
    let bar = ProgressBar(quiet: common.quiet)
    defer { bar.finish() }
    let bytes = try ArtifactFile.unpack(artifact, to: target) { done, total in
      bar.show(.progress(step: "unpack", fraction: Double(done) / Double(max(1, total))))
    }
    bar.finish()
    if !common.quiet { Terminal.output("\(target): \(bytes) bytes\n") }
  }
}
