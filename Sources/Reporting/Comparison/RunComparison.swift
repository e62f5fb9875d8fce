public import Evaluation

/// The stages of several runs next to each other.
public struct RunComparison: Sendable, Equatable {
  /// A run.
  public struct Run: Sendable, Equatable {
    /// What it is called: its folder's name.
    public var name: String
    /// Its report.
    public var report: RunReport
    /// The predictions of its stages, where their files are there.
    public var records: [TokenRecords?]

    /// A run of these parts.
    public init(name: String, report: RunReport, records: [TokenRecords?]) {
      self.name = name
      self.report = report
      self.records = records
    }
  }

  /// A stage of one of them.
  public struct Entry: Sendable, Equatable {
    /// "run/1 int4".
    public var label: String
    /// The place of its run.
    public var run: Int
    /// Its figures.
    public var stage: StageReport

    /// A stage of these parts.
    public init(label: String, run: Int, stage: StageReport) {
      self.label = label
      self.run = run
      self.stage = stage
    }
  }

  /// The runs.
  public var runs: [Run]
  /// Their stages; a baseline that is that of an earlier run, too, is there once.
  public var entries: [Entry]
  /// Pairs of stages on the same tokens; places are those in ``entries``.
  public var comparisons: [StageComparison]
  /// Remarks.
  public var notes: [String]
  /// What was asked of the runs, and whether it holds.
  public var gates: [GateResult] = []

  /// The stages of `runs`.
  ///
  /// - Throws: ``ReportError`` for runs whose figures do not compare: another text, context, stride, BOS policy or way of scoring.
  public init(_ runs: [Run]) throws {
    self.runs = runs
    notes = []
    entries = []
    comparisons = []
    try checkMethods()
    var records: [TokenRecords?] = []
    for (place, run) in runs.enumerated() {
      for (index, stage) in run.report.stages.enumerated() {
        let isKnown = entries.contains {
          $0.stage.index == 0 && stage.index == 0 && $0.stage.artifact.merkleRoot == stage.artifact.merkleRoot
        }
        guard !isKnown else { continue }
        entries.append(
          Entry(label: "\(run.name)/\(stage.index) \(stage.name)", run: place, stage: stage))
        records.append(run.records.indices.contains(index) ? run.records[index] : nil)
      }
      if let failure = run.report.failure {
        notes.append("\(run.name): stage \(failure.index), \(failure.name), failed: \(failure.message)")
      }
    }
    let models = records.map { $0?.key.model }
    comparisons = try StageComparison.all(records) { models[$0] == models[$1] }
    if Set(models.compactMap(\.self)).count > 1 {
      notes.append("the runs are of different models: KL divergences are from different baselines")
    }
    let lacking = zip(entries, records).filter { $0.0.stage.language != nil && $0.1 == nil }
    if !lacking.isEmpty {
      notes.append(
        "no predictions beside the report of \(lacking.map(\.0.label).joined(separator: ", ")): no verdicts on it"
      )
    }
  }

  /// The run that a mismatch is measured against, and its method.
  private struct Method {
    var run: String
    var facts: [(name: String, value: String)]
  }

  private mutating func checkMethods() throws {
    var known: Method?
    var precisions: Set<String> = []
    for run in runs {
      for stage in run.report.stages {
        guard let facts = RunComparison.facts(stage.evaluation) else { continue }
        if let precision = RunComparison.activations(stage.evaluation) { precisions.insert(precision) }
        guard let known else {
          known = Method(run: run.name, facts: facts)
          continue
        }
        guard known.facts.map(\.name) == facts.map(\.name) else {
          throw ReportError(
            path: run.name, "its figures are of another kind than those of \(known.run): they do not compare")
        }
        for (mine, other) in zip(facts, known.facts) where mine.value != other.value {
          throw ReportError(
            path: run.name,
            "\(mine.name) \(mine.value), but \(other.value) in \(known.run): the figures do not compare; evaluate both alike"
          )
        }
      }
    }
    if precisions.count > 1 {
      notes.append("some stages were evaluated with activations in int8, others in f32")
    }
  }

  private static func activations(_ evaluation: EvaluationReport) -> String? {
    switch evaluation {
    case .language(_, let method): method.activations
    case .encoder(_, let method): method.activations
    case .none: nil
    }
  }

  /// What has to be the same for figures to compare; nil where there are none.
  private static func facts(_ evaluation: EvaluationReport) -> [(name: String, value: String)]? {
    switch evaluation {
    case .language(let metrics, let method):
      [
        ("the text", "'\(method.text)' (SHA-256 \(method.textHash.prefix(12))…)"),
        ("the context is", "\(method.context)"), ("the stride is", "\(method.context)"),
        ("each chunk begins", method.addsBeginningOfText ? "with BOS" : "without BOS"),
        ("scored are", method.fromStart ? "all tokens" : "the second halves of chunks"),
        ("the text is cut", method.isDocuments ? "by documents" : "as a whole"),
        ("chunks are", method.isSpread ? "from all over the text" : "its first ones"),
        ("scored tokens:", "\(metrics.tokens)"),
      ]
    case .encoder(let metrics, let method):
      [
        ("the text", "'\(method.text)' (SHA-256 \(method.textHash.prefix(12))…)"),
        ("the context is", "\(method.context)"), ("sentences:", "\(metrics.sentences)"),
      ]
    case .none: nil
    }
  }
}
