internal import ArgumentParser
internal import Compression
internal import ModelFiles
internal import Passes

/// A model in another container, nothing evaluated.
struct ConvertCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "convert",
    abstract: "Write a model as GGUF or safetensors, or as an artifact, without evaluating it.",
    discussion: """
      EXAMPLES
        compress convert ./hf-folder -o model.gguf
        compress convert model.bin -o model.gguf --to q8_0
        compress convert model.gguf -o small.gguf --to int4 --method rtn
        compress convert model.gguf -o hf-folder --format safetensors
        compress convert model.safetensors -o model.gguf.zst --pack
        compress convert ./hf-folder -o for-vllm --to int4 --for vllm
        compress convert ./hf-folder -o gptq-folder --to int4 --format safetensors --layout gptq
      """)

  @OptionGroup var source: ModelArguments
  @OptionGroup var common: CommonArguments
  @OptionGroup var calibration: CalibrationArguments

  @Option(name: [.short, .long], help: "The file to write; for --format safetensors a folder.")
  var output: String

  @Option(help: "gguf or safetensors (default: gguf, or what --for loads).")
  var format: OutputContainer?

  @OptionGroup var loading: LoadingArguments

  @Option(
    help:
      "Store matrices in this format: f32, f16, bf16, q8_0, q6_k, q5_k, q4_k, iq4_nl …, int4.g128, int4.g64, int4.g32, int8.channel, w8a8, int8 or int4 (default: as they are)."
  )
  var to: String?

  @Option(
    help:
      "How codes are chosen: rtn, imatrix, gptq, awq (default: gptq if the model can be calibrated, else rtn)."
  )
  var method: QuantizePass.Method?

  @Flag(help: "Write a zstd artifact instead of the plain file.")
  var pack = false

  @Option(help: "The zstd level of an artifact, 1 to 22.")
  var level: Int?

  @Flag(help: "Quantize tensors that are quantized already.")
  var allowRequantize = false

  @Flag(help: "Accept weights that are NaN or infinite.")
  var allowNonfinite = false

  @Flag(help: "Replace what an earlier conversion wrote.")
  var force = false

  func validate() throws {
    if let to, QuantizePass.Target(name: to) == nil {
      throw ValidationError("Unknown format '\(to)' for --to.")
    }
    if method != nil && to == nil { throw ValidationError("--method needs --to.") }
    if let level, !(1...22).contains(level) { throw ValidationError("--level must be from 1 to 22.") }
    if level != nil && !pack { throw ValidationError("--level needs --pack.") }
  }

  func run() throws {
    common.apply()
    Interruption.install()
    let container = format ?? loading.loader.map { LoaderRules.of($0).containers[0] } ?? .gguf
    let pass = to.flatMap { QuantizePass.Target(name: $0) }.map {
      QuantizePass(
        container == .safetensors ? $0.inSafetensors : $0, method: method, allowRequantize: allowRequantize)
    }
    let bar = ProgressBar(quiet: common.quiet)
    defer { bar.finish() }
    var conversion = Conversion(
      container: container, pass: pass, calibration: calibration.applied(to: CalibrationPlan()),
      packed: pack ? level ?? ArtifactFile.defaultLevel : nil,
      allowNonfinite: allowNonfinite, force: force)
    conversion.layout = loading.layout
    conversion.loader = loading.loader
    let written = try conversion.run(try source.checkpoint(), to: output) { bar.show($0) }
    bar.finish()
    if !common.quiet { for file in written { Terminal.output("\(file.path): \(file.bytes) bytes\n") } }
  }
}
