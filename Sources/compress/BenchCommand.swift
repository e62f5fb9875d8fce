public import ArgumentParser
public import Compression
internal import Evaluation
internal import Foundation
internal import ModelFiles
internal import Models
internal import Reporting
internal import TensorCore
internal import Training

/// How fast a model runs here, and how fast this machine is at all.
struct BenchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract:
      "Measure prefill and decode speed, time to the first token and peak memory of a model or artifact.",
    discussion: """
      Times are medians over at least 3 runs after a warm-up (10 where they fit 3 seconds), with the 95 % quantile.

      EXAMPLES
        compress bench out/1-int4/model.gguf.zst
        compress bench model.gguf out/1-int4/model.gguf.zst   timed in turns: the ratio, with its interval
        compress bench model.gguf --threads 1 --prompt 256 --tokens 128 --json
        compress bench --machine                          what this machine does at most
        compress bench --synthetic llama-1b:q4_k          a random model of TinyLlama's shape, made and removed
        compress bench --synthetic llama-1b-44 -o m.gguf  of 44 layers in bf16, kept
      """)

  @Argument(
    help:
      "A checkpoint (PyTorch, safetensors, GGUF, llama2.c), a Hugging Face folder, or an artifact; two of them to time in turns."
  )
  var models: [String] = []

  @Option(help: "A tokenizer file to use instead of the one beside the model.")
  var tokenizer: String?

  @OptionGroup var common: CommonArguments

  @Option(help: "Tokens of the prompt (default: 512, or half the model's context).")
  var prompt: Int?

  @Option(help: "Tokens generated in each run.")
  var tokens = 64

  @Option(
    help: ArgumentHelp("Tokens before the first generated one (default: up to 16).", valueName: "tokens"))
  var after: Int?

  @Option(help: "How keys and values are kept: in f16 they take half the memory, in int8 a quarter.")
  var kv = KVPrecision.f32

  @Option(help: "Runs after the warm-up, as far as they fit the time.")
  var runs = 10

  @Option(
    help: ArgumentHelp(
      "Measure with other numbers of threads, too: 1,2,4, or auto for 1 where that is quick.",
      valueName: "list"))
  var threadsSweep: ThreadSweep = .none

  @Flag(help: "Measure the machine instead: read bandwidth, and f32, bf16 and int8 arithmetic.")
  var machine = false

  @Flag(
    help:
      "Measure distillation instead: a student of 6 × 384, a teacher of 12 × 512, batches of 8 × 256 tokens.")
  var training = false

  @Flag(help: "With --training: products of bfloat16 numbers.")
  var bf16 = false

  @Option(
    help:
      "Make a model of random weights: llama-1b[-LAYERS][:FORMAT], FORMAT one of \(SyntheticModel.formats.map(\.rawValue).joined(separator: ", ")) (default: 22 layers, bf16)."
  )
  var synthetic: SyntheticModel?

  @Option(name: [.short, .long], help: "Keep the synthetic model in this file: GGUF, or .safetensors.")
  var output: String?

  @Flag(help: "Replace an existing file.")
  var force = false

  @Flag(help: "Make the synthetic model only.")
  var noRun = false

  @Flag(help: "Print JSON.")
  var json = false

  func validate() throws {
    if let prompt, prompt < 1 { throw ValidationError("--prompt must be at least 1.") }
    if tokens < 1 || runs < 1 { throw ValidationError("--tokens and --runs must be at least 1.") }
    if models.count > 2 { throw ValidationError("Two models can be compared at a time.") }
    let subjects = [!models.isEmpty, machine, training, synthetic != nil].filter(\.self).count
    if subjects == 0 { throw ValidationError("Missing expected argument '<model>'") }
    if subjects > 1 { throw ValidationError("Choose a model, --machine, --training or --synthetic.") }
    if synthetic == nil, output != nil || noRun || force {
      throw ValidationError("--output, --force and --no-run belong to --synthetic.")
    }
    if bf16, !training { throw ValidationError("--bf16 belongs to --training.") }
    if noRun, output == nil { throw ValidationError("--no-run needs --output.") }
  }

  func run() throws {
    common.apply()
    if machine { return measureMachine() }
    if training { return try measureTraining() }
    if models.count == 2 { return try compare(models[0], models[1]) }
    guard let synthetic else { return try measure(models.first ?? "") }
    Interruption.install()
    let path = output ?? NSTemporaryDirectory() + "/compress-\(getpid())-\(synthetic.name).gguf"
    try OutputPlace.check(file: path, inputs: [], force: force)
    let bar = ProgressBar(quiet: common.quiet)
    defer {
      bar.finish()
      if output == nil { unlink(path) }
    }
    let bytes = try synthetic.write(to: path) { bar.show($0) }
    bar.finish()
    if output != nil, !common.quiet, !json { Terminal.output("\(path): \(bytes) bytes\n") }
    if !noRun { try measure(path) }
  }

  private func measureMachine() {
    let limits = MachineProbe().measure()
    let machine = Machine.current()
    Terminal.output(
      json
        ? MachineText.json(of: limits, machine: machine).text(indent: 2) + "\n"
        : MachineText.text(of: limits, machine: machine))
  }

  private func measureTraining() throws {
    let found = try TrainingBenchmark.run(steps: min(runs, 8), rounds: bf16)
    let fastest = found.seconds.min() ?? .infinity
    let peak = MemoryUse.peak ?? 0
    if json {
      let object = JSONObject([
        ("secondsPerStep", .number(fastest)), ("tokensPerSecond", .number(found.tokensPerSecond)),
        ("operationsPerSecond", .number(found.operations / fastest)), ("peakMemory", .integer(peak)),
        ("threads", .integer(Parallel.threadCount)),
      ])
      return Terminal.output(JSONValue.object(object).text(indent: 2) + "\n")
    }
    let sorted = found.seconds.sorted()
    Terminal.output(
      "\(Parallel.threadCount) threads\(bf16 ? ", bf16" : ""): \(NumberFormat.seconds(fastest)) a step "
        + "(median \(NumberFormat.seconds(sorted[sorted.count / 2]))), \(Int(found.tokensPerSecond)) tok/s, "
        + "\(Int(found.operations / fastest / 1e9)) GFLOP/s, peak \(peak >> 20) MiB\n")
  }

  private var latency: Latency {
    var latency = Latency()
    latency.promptLength = prompt
    latency.decodeLength = tokens
    latency.decodeStart = after
    latency.precision = kv
    if let after { latency.promptLength = max(prompt ?? 0, after) }
    latency.runs = runs
    latency.minimumRuns = min(3, runs)
    return latency
  }

  private func compare(_ first: String, _ second: String) throws {
    let bar = ProgressBar(quiet: common.quiet || json)
    defer { bar.finish() }
    let rounds = runs
    let comparison = try LatencyProbe.compare(first, second, tokenizer: tokenizer, latency: latency) {
      bar.show(.progress(step: "rounds", fraction: Double($0) / Double(rounds)))
    }
    bar.finish()
    Terminal.output(
      json
        ? MeasurementText.json(of: comparison, first: first, second: second).text(indent: 2) + "\n"
        : Terminal.printable(MeasurementText.text(of: comparison, first: first, second: second)))
  }

  private func measure(_ path: String) throws {
    guard
      var metrics = try LatencyProbe.measure(
        path, tokenizer: tokenizer, latency: latency, sweep: threadsSweep.counts)
    else {
      throw JobError(.badInput, "\(path): the model cannot be run (unknown architecture)")
    }
    metrics.readBandwidth = MachineProbe.bandwidth(for: metrics)
    for place in metrics.sweep.indices {
      metrics.sweep[place].readBandwidth = MachineProbe.bandwidth(
        for: metrics, threads: metrics.sweep[place].threads)
    }
    if json {
      Terminal.output(metrics.json.text(indent: 2) + "\n")
    } else {
      Terminal.output(MeasurementText.text(of: metrics, machine: Machine.current()))
    }
  }
}

extension SyntheticModel: ExpressibleByArgument {
  public init?(argument: String) { self.init(argument) }
}
