/// Sequences of tokens that passes observe the model on.
///
/// Sequences run one by one, whatever their lengths, so there is no padding to mask and no short one to drop.
public struct CalibrationSet: Sendable {
  /// What observations are made of. BOS included where the tokenizer adds one; none empty.
  public var sequences: [[Int]]
  /// What choices between results are made on: sequences that no observation has seen.
  public var heldOut: [[Int]]
  /// The text's name, for reports.
  public var name: String
  /// The text's SHA-256.
  public var sha256: String
  /// Remarks for the report: tokens that were left over, overlap with the evaluation text …
  public var notes: [String]
  /// What reports say about the text; nil for sequences that come from none.
  public var summary: CalibrationSummary?

  /// Sequences made elsewhere.
  public init(
    sequences: [[Int]], heldOut: [[Int]] = [], name: String = "", sha256: String = "", notes: [String] = [],
    summary: CalibrationSummary? = nil
  ) {
    self.sequences = sequences
    self.heldOut = heldOut
    self.name = name
    self.sha256 = sha256
    self.notes = notes
    self.summary = summary
  }

  /// The number of tokens that observations are made of.
  public var tokenCount: Int { sequences.reduce(0) { $0 + $1.count } }
  /// The number of tokens that choices are made on.
  public var heldOutTokenCount: Int { heldOut.reduce(0) { $0 + $1.count } }

  /// Whole sequences at even distances, about `tokens` tokens of them, and none that is held out; all where there are no more.
  func spread(tokens: Int) -> CalibrationSet {
    var result = self
    result.heldOut = []
    guard tokenCount > tokens else { return result }
    let wanted = max(1, sequences.count * tokens / tokenCount)
    result.sequences = (0..<wanted).map { sequences[$0 * sequences.count / wanted] }
    return result
  }
}
