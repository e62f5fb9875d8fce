internal import ArgumentParser
internal import Compression
internal import Evaluation
internal import ModelFiles
internal import Models
internal import Reporting
internal import TensorCore

/// How fast a model runs here.
struct BenchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract:
      "Measure prefill and decode speed, time to the first token and peak memory of a model or artifact.",
    discussion: """
      Times are medians over at least 3 runs after a warm-up (10 where they fit 3 seconds), with the 95 % quantile.

      EXAMPLES
        compress bench out/1-int4/model.gguf.zst
        compress bench model.gguf --threads 1 --prompt 256 --tokens 128 --json
      """)

  @OptionGroup var source: ModelArguments
  @OptionGroup var common: CommonArguments

  @Option(help: "Tokens of the prompt (default: 512, or half the model's context).")
  var prompt: Int?

  @Option(help: "Tokens generated in each run.")
  var tokens = 64

  @Option(help: "Runs after the warm-up, as far as they fit the time.")
  var runs = 10

  @Flag(help: "Print JSON.")
  var json = false

  func validate() throws {
    if let prompt, prompt < 1 { throw ValidationError("--prompt must be at least 1.") }
    if tokens < 1 || runs < 1 { throw ValidationError("--tokens and --runs must be at least 1.") }
  }

  func run() throws {
    common.apply()
    var latency = Latency()
    latency.promptLength = prompt
    latency.decodeLength = tokens
    latency.runs = runs
    latency.minimumRuns = min(3, runs)
    guard let metrics = try LatencyProbe.measure(source.model, tokenizer: source.tokenizer, latency: latency)
    else {
      throw JobError(.badInput, "\(source.model): the model cannot be run (unknown architecture)")
    }
    if json {
      Terminal.output(metrics.json.text(indent: 2) + "\n")
    } else {
      Terminal.output(MeasurementText.text(of: metrics, machine: Machine.current()))
    }
  }
}
