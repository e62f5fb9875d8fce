internal import Evaluation
internal import ModelFiles
internal import Models
internal import Passes
internal import Reporting
internal import TensorCore

/// Makes the calibration set of a plan: reads or writes the text, cuts it, and compares it with the evaluation text.
struct CalibrationSource {
  let checkpoint: Checkpoint
  let plan: CalibrationPlan
  /// What stages are evaluated on; nil where nothing is evaluated.
  let subject: EvaluationSubject?
  let seed: UInt64
  let observer: JobObserver
  /// What messages call the text.
  var purpose = Purpose.calibration

  /// A folder for texts that the model has written; nil for none.
  var cache: String?

  /// What a text is for.
  enum Purpose: String {
    case calibration, training
    /// What was done with it.
    var done: String { self == .calibration ? "calibrated" : "trained" }
  }

  /// The fewest tokens that something can be learned from.
  private static let fewestToLearn = 256

  /// What a text became.
  private struct Cut {
    var name: String
    var sha256: String
    /// All sequences.
    var sequences: [[Int]]
    /// What runs of words are looked for in.
    var documents: [[UInt8]]
    /// The tokens of the text, special ones left out.
    var textTokens: Int
    var notes: [String]
  }

  /// Why the model cannot be observed at work; nil when it can.
  static func obstacle(_ checkpoint: Checkpoint) -> String? {
    guard checkpoint.architecture != nil else {
      return "the architecture is unknown, so the model cannot be run"
    }
    return checkpoint.tokenizer == nil ? "there is no tokenizer beside the model (--tokenizer FILE)" : nil
  }

  /// The set; nil for a model that cannot be run.
  ///
  /// - Throws: ``JobError`` or ``EvaluationError`` when the text cannot be used: too short, no text, a leak.
  func set() throws -> CalibrationSet? {
    guard let architecture = checkpoint.architecture, let tokenizer = checkpoint.tokenizer else { return nil }
    let context = min(plan.context, architecture.contextLength, plan.tokens)
    let cut = try text(architecture, tokenizer, context: context)
    guard cut.textTokens > 1 else {
      throw EvaluationError(
        .tooShort, plan.text ?? cut.name,
        "the \(purpose.rawValue) text has \(cut.textTokens == 1 ? "a single token" : "no token"); give a longer one"
      )
    }
    if let token = cut.sequences.joined().first(where: { !(0..<architecture.vocabularySize).contains($0) }) {
      throw EvaluationError(
        .mismatch, cut.name,
        "the tokenizer gave token \(token), the model has \(architecture.vocabularySize): this is another model's "
          + "tokenizer")
    }
    let chosen = CalibrationCut.spread(cut.sequences, limit: plan.tokens)
    let bos = !architecture.isEncoder && tokenizer.addsBeginningOfText ? tokenizer.beginningOfText : nil
    let (observed, heldOut) =
      architecture.isEncoder && chosen.count == 1
      ? (chosen, []) : CalibrationCut.divide(chosen, share: plan.heldOut, bos: bos)
    var set = CalibrationSet(
      sequences: observed, heldOut: heldOut, name: cut.name, sha256: cut.sha256, notes: cut.notes)
    guard purpose == .calibration || set.tokenCount >= CalibrationSource.fewestToLearn else {
      throw EvaluationError(
        .tooShort, plan.text ?? cut.name,
        "\(set.tokenCount) tokens of text are too few to learn from and hold a part out; give more with --train"
      )
    }
    let summary = try summary(set, cut, context: context, vocabulary: architecture.vocabularySize, tokenizer)
    set.summary = summary
    set.notes = [describe(summary)] + set.notes
    if plan.ownTokens > 0, !plan.isSelf {
      try addOwnText(to: &set, architecture, tokenizer, context: context)
    }
    if plan.heldOut > 0, heldOut.isEmpty {
      set.notes.append("the \(purpose.rawValue) text is too short to hold a part of it out")
    }
    return set
  }

  // MARK: Text

  private func text(
    _ architecture: any Architecture, _ tokenizer: any Tokenizer, context: Int
  ) throws -> Cut {
    if plan.isSelf { return try ownText(architecture, tokenizer, tokens: plan.tokens, context: context) }
    let text = try CalibrationText(path: plan.text, forEncoder: architecture.isEncoder)
    if architecture.isEncoder { return sentences(text, tokenizer, context: context) }
    let documents = text.documents.map { tokenizer.encode($0, addSpecial: false) }
    let bos = tokenizer.addsBeginningOfText ? tokenizer.beginningOfText : nil
    var notes = text.notes
    let empty = documents.count { $0.isEmpty }
    if empty > 0 { notes.append("\(empty) \(purpose.rawValue) documents have no token") }
    return Cut(
      name: text.name, sha256: text.sha256,
      sequences: CalibrationCut.sequences(of: documents, context: context, bos: bos),
      documents: documents.map { tokenizer.decode($0) }, textTokens: documents.reduce(0) { $0 + $1.count },
      notes: notes)
  }

  /// Sentences as the tokenizer frames them, long ones cut as in an evaluation: the last token is kept.
  private func sentences(_ text: CalibrationText, _ tokenizer: any Tokenizer, context: Int) -> Cut {
    let frame = tokenizer.encode([], addSpecial: true).count
    let sequences = text.documents.map { tokenizer.encode($0, addSpecial: true) }.filter { $0.count > frame }
    return Cut(
      name: text.name, sha256: text.sha256,
      sequences: sequences.map { EncoderEvaluation.truncate($0, to: context) }, documents: text.documents,
      textTokens: sequences.reduce(0) { $0 + $1.count - frame }, notes: text.notes)
  }

  /// Text of the model's own beside the one to learn from. What decides which weights are kept stays text that is given.
  private func addOwnText(
    to set: inout CalibrationSet, _ architecture: any Architecture, _ tokenizer: any Tokenizer, context: Int
  ) throws {
    let own = try ownText(architecture, tokenizer, tokens: plan.ownTokens, context: context)
    set.sequences += own.sequences
    set.notes += own.notes
    set.notes.append(
      "learned from as well: \(NumberFormat.grouped(own.textTokens)) tokens in \(own.sequences.count) sequences that the "
        + "model wrote")
  }

  private func ownText(
    _ architecture: any Architecture, _ tokenizer: any Tokenizer, tokens: Int, context: Int
  ) throws -> Cut {
    guard !architecture.isEncoder, case .language(let model) = try checkpoint.makeModel() else {
      throw JobError(
        .badInput,
        "\(checkpoint.source.path): an encoder writes no text, so it cannot make its own \(purpose.rawValue) text; "
          + "give one with --\(purpose == .training ? "train" : "calibration") FILE")
    }
    let (observer, purpose) = (observer, purpose)
    let kept = try cache.map {
      try WrittenText(
        folder: $0, checkpoint: checkpoint, tokens: tokens, context: context, seed: seed)
    }
    let known = kept?.read(vocabulary: architecture.vocabularySize)
    let sequences =
      try known
      ?? SelfCalibration.sequences(
        model: model, tokenizer: tokenizer, tokens: tokens, context: min(context, tokens), seed: seed,
        name: checkpoint.source.path
      ) { observer(.progress(step: "write \(purpose.rawValue) text", fraction: $0)) }
    if known == nil { try kept?.write(sequences) }
    let count = sequences.reduce(0) { $0 + $1.count }
    var notes: [String] = []
    if count < tokens / 2 {
      notes.append(
        "the model ended its texts early: \(count) of \(tokens) \(purpose.rawValue) tokens were written")
    }
    let bytes = sequences.joined().flatMap { token in
      (0..<4).map { UInt8(truncatingIfNeeded: token >> ($0 * 8)) }
    }
    return Cut(
      name: CalibrationPlan.selfSource, sha256: bytes.withUnsafeBytes { FileHash.sha256(of: $0) },
      sequences: sequences, documents: sequences.map { tokenizer.decode($0) }, textTokens: count, notes: notes
    )
  }

  // MARK: What it is worth

  private func summary(
    _ set: CalibrationSet, _ cut: Cut, context: Int, vocabulary: Int, _ tokenizer: any Tokenizer
  ) throws -> CalibrationSummary {
    let seen = Set(set.sequences.joined())
    var summary = CalibrationSummary(
      name: cut.name, sha256: cut.sha256, textTokens: cut.textTokens, context: context,
      sequences: set.sequences.count, tokens: set.tokenCount, heldOutSequences: set.heldOut.count,
      heldOutTokens: set.heldOutTokenCount, vocabulary: vocabulary, distinctTokens: seen.count)
    guard let evaluation = subject?.material(tokenizer) else { return summary }
    let tokens = evaluation.tokens.joined()
    let covered = tokens.reduce(0) { $0 + (seen.contains($1) ? 1 : 0) }
    summary.evaluationCoverage = tokens.isEmpty ? nil : Double(covered) / Double(tokens.count)
    let overlap = WordRuns.overlap(of: evaluation.texts, in: cut.documents)
    summary.overlap = overlap
    let limit = WordRuns.allowance(
      evaluation.isSentences ? WordRuns.sentenceLimit : WordRuns.textLimit, runs: overlap.runs)
    if overlap.share > limit, !plan.isSelf, !plan.allowOverlap {
      throw JobError(
        .badInput,
        "\(plan.text ?? cut.name): \(CalibrationSource.percent(overlap.share)) of the evaluation text's runs of "
          + "\(overlap.words) words are in this \(purpose.rawValue) text (\(CalibrationSource.percent(limit)) is the most), so "
          + "figures would flatter the model; choose another text, or pass --allow-overlap")
    }
    return summary
  }

  /// The summary as a remark.
  private func describe(_ summary: CalibrationSummary) -> String {
    var parts = [
      "\(purpose.done) on \(summary.name): \(NumberFormat.grouped(summary.tokens)) tokens in \(summary.sequences) sequences",
      "\(NumberFormat.grouped(summary.heldOutTokens)) more held out",
      "\(NumberFormat.grouped(summary.distinctTokens)) of \(NumberFormat.grouped(summary.vocabulary)) tokens of the "
        + "vocabulary seen",
    ]
    if let coverage = summary.evaluationCoverage {
      parts.append("\(CalibrationSource.percent(coverage)) of the evaluation text's tokens are among them")
    }
    if let overlap = summary.overlap {
      parts.append(
        "\(CalibrationSource.percent(overlap.share)) of its runs of \(overlap.words) words are in the text")
    }
    return parts.joined(separator: "; ")
  }

  private static func percent(_ share: Double) -> String { NumberFormat.significant(share * 100, 3) + " %" }
}

extension EvaluationSubject {
  /// What the models are fed in an evaluation, as tokens and as text; nil when nothing is evaluated.
  fileprivate func material(
    _ tokenizer: any Tokenizer
  ) -> (tokens: [[Int]], texts: [[UInt8]], isSentences: Bool)? {
    switch self {
    case .language(let chunks):
      let tokens = chunks.chunks.map(\.tokens)
      return (tokens, tokens.map { tokenizer.decode($0) }, false)
    case .encoder(let text, _, _):
      return (text.sentences.map { tokenizer.encode($0, addSpecial: true) }, text.sentences, true)
    case .none: return nil
    }
  }
}
