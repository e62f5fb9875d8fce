internal import ArgumentParser
internal import Compression
internal import ModelFiles
internal import Models
internal import Passes

/// An artifact to the standard file inside it.
struct UnpackCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "unpack",
    abstract:
      "Decode an artifact to the standard GGUF or safetensors file in it; the same bytes as `zstd -d`.",
    discussion: """
      An artifact of pruned matrices as masks and values, which only this program reads, becomes a folder with a dense
      model instead, or with one that keeps its holes; --stored gives the file as it is.

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

  @Flag(
    help:
      "Keep the holes of pruned matrices: compressed-tensors, sparse-bitmask (loaders up to version 0.12).")
  var keepSparse = false

  @Flag(help: "Always give the file in the artifact, the same bytes as `zstd -d`.")
  var stored = false

  func validate() throws {
    if keepSparse && stored { throw ValidationError("Choose --keep-sparse or --stored.") }
  }

  func run() throws {
    common.apply()
    Interruption.install()
    if !stored {
      // What cannot be opened is explained below.
      if let source = try? ModelFiles.open(artifact), Checkpoint.holdsSparseMatrices(source) {
        return try writeFolder(source)
      }
      if keepSparse {
        throw JobError(
          .usage, "\(artifact): no matrix is stored as a mask and values; leave --keep-sparse out")
      }
    }
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

  /// The model of `source` as a folder that other programs load.
  private func writeFolder(_ source: ModelSource) throws {
    let ending = ".safetensors.zst"
    guard let target = output ?? (artifact.hasSuffix(ending) ? String(artifact.dropLast(ending.count)) : nil)
    else {
      throw JobError(.usage, "\(artifact): the name does not end in \(ending); say where to write with -o")
    }
    var conversion = Conversion(container: .safetensors, force: force)
    conversion.keepsSparse = keepSparse
    let bar = ProgressBar(quiet: common.quiet)
    defer { bar.finish() }
    let written = try conversion.run(try Checkpoint.load(source), to: target) { bar.show($0) }
    bar.finish()
    guard !common.quiet else { return }
    for file in written { Terminal.output("\(file.path): \(file.bytes) bytes\n") }
  }
}
