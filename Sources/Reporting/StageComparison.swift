public import Evaluation

/// Two stages next to each other, on the same tokens.
public struct StageComparison: Sendable, Equatable {
  /// The place of the stage that is compared with, in the list of stages.
  public var first: Int
  /// The place of the stage that is compared.
  public var second: Int
  /// How the second differs from the first.
  public var tokens: TokenComparison

  /// A comparison of these parts.
  public init(first: Int, second: Int, tokens: TokenComparison) {
    self.first = first
    self.second = second
    self.tokens = tokens
  }

  /// All pairs of the stages that have records, each with all before it, with Holm's correction over all of them.
  ///
  /// - Parameters:
  ///   - records: a row of predictions for each stage; nil where there is none.
  ///   - sharesBaseline: whether the divergences of two stages are from the same baseline.
  /// - Throws: ``EvaluationError`` when they are of other texts, tokens or ways of scoring.
  public static func all(
    _ records: [TokenRecords?], bootstrap: Bootstrap = Bootstrap(),
    sharesBaseline: (Int, Int) -> Bool = { _, _ in true }
  ) throws(EvaluationError) -> [StageComparison] {
    var places: [(Int, Int)] = []
    var comparisons: [TokenComparison] = []
    for (second, b) in records.enumerated() {
      guard let b else { continue }
      for (first, a) in records[..<second].enumerated() {
        guard let a else { continue }
        places.append((first, second))
        comparisons.append(
          try TokenComparison(a, b, sharesBaseline: sharesBaseline(first, second), bootstrap: bootstrap))
      }
    }
    return zip(places, comparisons.corrected).map {
      StageComparison(first: $0.0, second: $0.1, tokens: $1)
    }
  }
}

/// A stage that was not finished; those before it stand.
public struct StageFailure: Sendable, Equatable {
  /// Its place in the run.
  public var index: Int
  /// Its short name.
  public var name: String
  /// Why: one line.
  public var message: String

  /// A failure of these parts.
  public init(index: Int, name: String, message: String) {
    self.index = index
    self.name = name
    self.message = message
  }
}
