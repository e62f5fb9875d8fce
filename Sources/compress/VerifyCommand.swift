internal import ArgumentParser
internal import Compression
internal import ModelFiles

/// Whether an artifact is whole.
struct VerifyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify",
    abstract: "Check every byte of an artifact against its checksums; names the tensor that is damaged.",
    discussion: """
      EXAMPLES
        compress verify out/1-int4/model.gguf.zst
        compress verify out/*/*.zst && rsync out/ edge:models/
      """)

  @Argument(help: "Artifacts.")
  var artifacts: [String]

  @OptionGroup var common: CommonArguments

  func run() throws {
    common.apply()
    let bar = ProgressBar(quiet: common.quiet)
    defer { bar.finish() }
    for path in artifacts {
      let report = try ArtifactFile.verify(path) { done, total in
        bar.show(.progress(step: "verify \(path)", fraction: Double(done) / Double(max(1, total))))
      }
      bar.finish()
      guard !common.quiet else { continue }
      Terminal.output(
        "\(path): good, \(report.tensorCount) tensors, \(report.decodedBytes) bytes decoded, "
          + "Merkle root \(report.merkleRoot)\n")
    }
  }
}
