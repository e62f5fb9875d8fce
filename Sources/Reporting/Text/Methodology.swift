import Evaluation

/// How figures were taken, in words: without this line they cannot be compared with anybody else's.
enum Methodology {
  /// The whole method of a stage's evaluation.
  static func full(_ stage: StageReport) -> String { full(stage.evaluation) }

  /// The whole method of an evaluation.
  static func full(_ evaluation: EvaluationReport) -> String {
    switch evaluation {
    case .language(let metrics, let method): language(metrics, method)
    case .encoder(let metrics, let method): encoder(metrics, method)
    case .none(let reason): "Not evaluated: \(reason)."
    }
  }

  /// Where speed is taken with other arithmetic than quality.
  static let speed =
    "In prefill, activations that meet bf16 weights may be rounded to bf16 where the processor multiplies such pairs, as in "
    + "`compress generate`; quality is measured without that."

  /// One line for the terminal; nil where nothing was evaluated.
  static func short(_ stage: StageReport) -> String? {
    switch stage.evaluation {
    case .language(let metrics, let method):
      "quality: \(method.text), context \(method.context), \(NumberFormat.grouped(metrics.tokens)) tokens scored"
        + " (\(method.fromStart ? "all" : "second half of each chunk")); ± one standard error over chunks."
    case .encoder(let metrics, let method):
      "quality: \(method.text), \(NumberFormat.grouped(metrics.sentences)) sentences; ± one standard error."
    case .none: nil
    }
  }

  /// Why a stage has dashes.
  static func missing(_ stage: StageReport) -> String {
    switch stage.evaluation {
    case .none(let reason): reason
    case .language(let metrics, _) where metrics.divergence == nil:
      stage.index == 0 ? "the other stages are compared with it" : "there is no baseline to compare with"
    case .encoder(let metrics, _) where metrics.similarity == nil:
      stage.index == 0 ? "the other stages are compared with it" : "there is no baseline to compare with"
    default: stage.latency == nil ? "latency was left out" : "this part was left out"
    }
  }

  private static func language(_ metrics: LanguageMetrics, _ method: LanguageMethod) -> String {
    let cut =
      method.isDocuments
      ? "each document is cut by itself into chunks of at most \(method.context) tokens"
      : "the whole text is tokenized at once and cut into chunks of \(method.context) tokens, stride \(method.context)"
    let spread = method.isSpread ? "; chunks are taken from all over the text" : ""
    let bos =
      method.addsBeginningOfText
      ? "BOS replaces the first token of each chunk" : "no BOS, as the tokenizer adds none"
    let scored =
      method.fromStart
      ? "all predictions are scored"
      : "the predictions of each chunk's second half are scored (llama.cpp's rule)"
    return
      "Text \(MarkdownReport.code(method.text)) (SHA-256 `\(method.textHash)`, \(NumberFormat.grouped(method.textTokens)) tokens): "
      + "\(cut)\(spread); \(bos); \(scored): \(NumberFormat.grouped(metrics.tokens)) tokens in "
      + "\(NumberFormat.grouped(metrics.chunks.count)) chunks. "
      + "\(divergence(metrics.divergence)) "
      + "± is one standard error from the spread between chunks; differences to the baseline are paired. "
      + activations(method.activations)
  }

  private static func activations(_ precision: String) -> String {
    precision == "f32"
      ? "Quantized weights were decoded, and activations kept in 32-bit floats."
      : "Activations were rounded to 8 bits where they met quantized weights."
  }

  private static func divergence(_ divergence: Divergence?) -> String {
    let text = "KLD is KL(baseline ‖ stage) in nats over the full vocabulary, in 64-bit floats"
    guard let tail = divergence?.approximation?.tailMass else { return text + "." }
    return text + "; the baseline's unlikely tokens, \(NumberFormat.significant(tail * 100, 3)) % of its "
      + "probability, from a random sample of them."
  }

  private static func encoder(_ metrics: EncoderMetrics, _ method: EncoderMethod) -> String {
    var text =
      "Text \(MarkdownReport.code(method.text)) (SHA-256 `\(method.textHash)`): \(NumberFormat.grouped(metrics.sentences)) different "
      + "sentences; \(NumberFormat.grouped(metrics.truncated)) of them cut to \(method.context) tokens, the last "
      + "one ([SEP]) kept. Cosine is between the embeddings of stage and baseline. "
      + activations(method.activations)
    if let correlation = metrics.correlation {
      text +=
        " Correlations are of a pair's cosine with its score, over \(NumberFormat.grouped(correlation.pairs)) pairs"
        + "; ± is one standard error by bootstrap (\(method.resamples) samples, seed \(method.seed))."
    }
    return text
  }
}
