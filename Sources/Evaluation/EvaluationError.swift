/// Why something cannot be evaluated.
public struct EvaluationError: Error, Equatable, CustomStringConvertible {
  /// The kinds of failure.
  public enum Reason: String, Sendable {
    /// The text or table cannot be read as one.
    case badText
    /// The text has too few tokens, or the table too few rows.
    case tooShort
    /// Two models, or a model and its tokenizer, do not fit together.
    case mismatch
    /// The model's output has NaN or infinite numbers.
    case nonFinite
    /// A file of reference logits is none, or damaged.
    case badReference
  }

  /// The kind.
  public var reason: Reason
  /// The file or model that it happened with.
  public var place: String
  /// What is wrong, with numbers, and what to do.
  public var message: String
  /// One line: the place, and the message.
  public var description: String { "\(place): \(message)" }

  /// A failure with `place`.
  public init(_ reason: Reason, _ place: String, _ message: String) {
    self.reason = reason
    self.place = place
    self.message = message
  }
}
