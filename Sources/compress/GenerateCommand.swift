public import ArgumentParser
internal import Compression
internal import ModelFiles
public import Models

/// Text from a model.
struct GenerateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "generate",
    abstract: "Continue a prompt with a model or artifact, streaming.",
    discussion: """
      EXAMPLES
        compress generate out/1-int4/model.gguf.zst -p "Once upon a time"
        compress generate model.gguf -p "2 + 2 =" -n 8 --temperature 0
      """)

  @OptionGroup var source: ModelArguments
  @OptionGroup var common: CommonArguments

  @Option(name: [.short, .long], help: "The text to continue.")
  var prompt = ""

  @Option(name: [.customShort("n"), .long], help: "The most tokens to generate.")
  var tokens = 128

  @Option(help: "Randomness: 0 always takes the likeliest token.")
  var temperature: Float = 0.8

  @Option(help: "Sample among the likeliest tokens that together have this probability.")
  var topP: Float = 0.95

  @Option(help: "Sample among this many likeliest tokens (0: no limit).")
  var topK = 40

  @Option(help: "The seed of the sampling; the same seed gives the same text.")
  var seed: UInt64 = 0

  @Option(help: "How keys and values are kept: in f16 they take half the memory, in int8 a quarter.")
  var kv = KVPrecision.f32

  func validate() throws {
    if tokens < 1 { throw ValidationError("--tokens must be at least 1.") }
    if !(temperature >= 0 && temperature.isFinite) {
      throw ValidationError("--temperature must be 0 or more.")
    }
    if !(topP > 0 && topP <= 1) { throw ValidationError("--top-p must be above 0 and at most 1.") }
    if topK < 0 { throw ValidationError("--top-k must be 0 or more.") }
  }

  func run() throws {
    common.apply()
    let checkpoint = try source.checkpoint()
    guard case .language(let model) = try checkpoint.makeModel(roundsBatches: true, isLate: true) else {
      throw JobError(.badInput, "\(source.model): only language models generate text")
    }
    guard let tokenizer = checkpoint.tokenizer else {
      throw JobError(
        .badInput, "\(source.model): there is no tokenizer beside the model; give one with --tokenizer FILE")
    }
    var ids = tokenizer.encode(Array(prompt.utf8), addSpecial: true)
    if ids.isEmpty, let bos = tokenizer.beginningOfText { ids = [bos] }
    guard !ids.isEmpty else { throw JobError(.usage, "the prompt is empty; give one with -p") }
    guard ids.count < model.contextLength else {
      throw JobError(
        .usage, "the prompt has \(ids.count) tokens, the model's context \(model.contextLength); shorten it")
    }
    let sampler = Sampler(temperature: temperature, topK: topK, topP: topP, seed: seed)
    Terminal.output(prompt)
    _ = try Generator.generate(
      model: model, tokenizer: tokenizer, prompt: ids, maxTokens: tokens, sampler: sampler, precision: kv
    ) { bytes in
      if let failure = model.failure { throw failure }
      Terminal.output(bytes)
    }
    if let failure = model.failure { throw failure }
    Terminal.output("\n")
  }
}

extension KVPrecision: ExpressibleByArgument {}
