internal import ArgumentParser
internal import Compression
internal import Evaluation
internal import ModelFiles
internal import Models
internal import Passes
internal import Reporting

/// How good a model is on a text.
struct EvalCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "eval",
    abstract:
      "Perplexity and KL divergence of a model on a text, or Spearman of an encoder on sentence pairs.",
    discussion: """
      Perplexity follows llama.cpp's rule: chunks without overlap, each begun with BOS where the tokenizer adds one, the second
      half of each scored. Standard errors are over chunks.

      EXAMPLES
        compress eval model.gguf --eval held-out.txt
        compress eval out/1-int4/model.gguf.zst --baseline model.safetensors --eval held-out.txt
        compress eval model.gguf --baseline model.safetensors --task questions.jsonl
        compress eval model.gguf --task reviews.csv --template '{text} It was {label}' --labels bad,good
        compress eval minilm --task pairs.tsv
        compress eval minilm --eval stsb-dev.csv --json
      """)

  @OptionGroup var source: ModelArguments
  @OptionGroup var common: CommonArguments

  @Option(help: "A model to compare with: adds KL divergence and same-top-1.")
  var baseline: String?

  @Option(
    help: ArgumentHelp(
      "Keep the baseline's logits on this text in this file: it runs once for many models, and need not be named again.",
      valueName: "file"))
  var reference: String?

  @Option(
    help: "Text (.txt, .jsonl) or sentence pairs (.csv, .tsv) (default: the text shipped with the program).")
  var eval: String?

  @Option(
    help: ArgumentHelp(
      "Tasks to do instead: questions, a JSON object a line (prompt with choices and answer, or with completion), or texts with labels (.csv, .tsv).",
      valueName: "file"))
  var task: [String] = []

  @Option(
    help: ArgumentHelp(
      "How a language model is asked for a label (default: '{text}\\nlabel: {label}'; {text1} and {text2} for pairs).",
      valueName: "text"))
  var template: String?

  @Option(
    help: ArgumentHelp(
      "Words that stand for the labels, in their order: no,yes for 0 and 1.", valueName: "words"))
  var labels: String?

  @Option(help: "Tokens a chunk (default: 512, or what the model can).")
  var context: Int?

  @Option(help: "The most tokens to use.")
  var evalTokens = 16384

  @Flag(
    help:
      "Take the tokens from all over the evaluation text, not from its beginning.")
  var spread = false

  @Option(help: "Activations in int8, as shipped, or in f32: weights' rounding alone.")
  var activations = ActivationPrecision.int8

  @Option(
    help: "How the model keeps keys and values; the baseline always in f32. With --task f32 is used.")
  var kv = KVPrecision.f32

  @Flag(help: "Print JSON.")
  var json = false

  func validate() throws {
    if let context, context < 8 { throw ValidationError("--context must be at least 8.") }
    if !task.isEmpty, eval != nil || reference != nil {
      throw ValidationError("--task takes no --eval and no --reference.")
    }
    if task.isEmpty, template != nil || labels != nil {
      throw ValidationError("--template and --labels belong to --task.")
    }
    if evalTokens < 16 { throw ValidationError("--eval-tokens must be at least 16.") }
  }

  func run() throws {
    common.apply()
    let bar = ProgressBar(quiet: common.quiet)
    defer { bar.finish() }
    if !task.isEmpty { return try answer(bar) }
    var plan = EvaluationPlan()
    plan.text = eval
    plan.context = context
    plan.tokens = evalTokens
    plan.spread = spread
    plan.activations = activations
    plan.cache = kv
    let measurement = try ModelEvaluation.run(
      try source.checkpoint(), baseline: try baseline.map { try Checkpoint.load(try ModelFiles.open($0)) },
      reference: reference, plan: plan
    ) { bar.show($0) }
    bar.finish()
    Terminal.output(json ? measurement.json.text(indent: 2) + "\n" : measurement.text)
  }

  private func answer(_ bar: ProgressBar) throws {
    let reports = try TaskRun.run(
      try source.checkpoint(), baseline: try baseline.map { try Checkpoint.load(try ModelFiles.open($0)) },
      tasks: try task.map {
        try ModelTask(
          path: $0, template: template.map { LabelTemplate(text: $0) },
          words: labels.map { $0.split(separator: ",", omittingEmptySubsequences: false).map(String.init) })
      }, activations: activations
    ) { bar.show($0) }
    bar.finish()
    guard json else {
      return Terminal.output(Terminal.printable(reports.map(\.text).joined(separator: "\n")))
    }
    let document = JSONObject([
      ("schema", .string("compress.tasks")), ("version", .integer(1)),
      ("tasks", .array(reports.map(\.json))),
    ])
    Terminal.output(JSONValue.object(document).text(indent: 2) + "\n")
  }
}
