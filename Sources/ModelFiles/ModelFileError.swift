/// Why a file cannot be read as a model, or written: what, where, what to do.
public struct ModelFileError: Error, CustomStringConvertible, Equatable {
  /// The kinds of failure; tests and exit codes go by these, people by ``description``.
  public enum Reason: String, Sendable {
    /// The file is empty, or no kind of model that we know.
    case notAModel
    /// The file ends before what its structure promises.
    case truncated
    /// A length, offset, count or shape that cannot be: out of range, overlapping, overflowing.
    case badStructure
    /// A format version, data type or feature that we do not read.
    case unsupported
    /// A pickle that wants to call something that is not on the whitelist.
    case forbiddenPickle
    /// A shard, or a tensor that an index names, is not there.
    case missing
    /// A tensor or key that appears twice.
    case duplicate
    /// A checksum does not agree.
    case corrupt
    /// The operating system refused: cannot open, read, write, no space.
    case system
    /// The output would overwrite or lie inside the input.
    case unsafeOutput
  }

  /// The kind.
  public var reason: Reason
  /// The file.
  public var path: String
  /// What is wrong, with the tensor and the numbers: "tensor 'x' ends at byte 90, the file has 64".
  public var message: String
  /// What the user can do, if anything is known: "download the file again".
  public var advice: String?

  /// A failure in `path`.
  public init(_ reason: Reason, path: String, _ message: String, advice: String? = nil) {
    self.reason = reason
    self.path = path
    self.message = message
    self.advice = advice
  }

  /// Advice for a file that ends early.
  package static let downloadAgain = "the file is incomplete or damaged: copy or download it again"

  /// One line, whatever names a file contains.
  public var description: String { OneLine.text("\(path): \(message)" + (advice.map { "; \($0)" } ?? "")) }
}

/// Texts that hold names from files, made fit to be shown.
public enum OneLine {
  private static let limit = 2000

  /// `text` as one line: control characters, line ends and invisible marks are replaced, and very long texts cut.
  public static func text(_ text: String) -> String {
    let scalars = text.unicodeScalars
    let head = scalars.prefix(limit)
    let line = String(
      String.UnicodeScalarView(head.map { $0.properties.generalCategory.isOneLine ? $0 : "\u{FFFD}" }))
    return head.endIndex == scalars.endIndex ? line : line + "…"
  }
}

extension Unicode.GeneralCategory {
  /// Whether a scalar of the category can be shown inside a line of text.
  fileprivate var isOneLine: Bool {
    switch self {
    case .control, .lineSeparator, .paragraphSeparator, .format, .surrogate: false
    default: true
    }
  }
}
