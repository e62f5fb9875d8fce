import ModelFiles
import TensorCore

/// A text to evaluate on: one running text, or documents of their own (JSON lines).
public struct EvaluationText: Sendable {
  /// The file's name without its folder, for reports.
  public var name: String
  /// SHA-256 of the whole file, in lower-case hexadecimal.
  public var sha256: String
  /// The number of bytes in the file.
  public var byteCount: Int
  /// The texts: one, unless the file is JSON lines.
  public var documents: [[UInt8]]
  /// Whether the documents stand alone: each is cut into chunks by itself and scored from its start.
  public var isDocuments: Bool

  /// The text file at `path`.
  ///
  /// - Throws: ``FileError`` when it cannot be read; ``EvaluationError`` when it is no text.
  public init(path: String) throws {
    let file = try MappedFile(path: path)
    let name = path.split(separator: "/").last.map(String.init) ?? path
    try self.init(name: name, bytes: file.region.array)
  }

  /// The text `bytes`. When every non-empty line is a JSON object with a string `text`, each line is a document.
  ///
  /// - Throws: ``EvaluationError`` when it is empty or holds zero bytes (a binary file).
  public init(name: String, bytes: [UInt8]) throws {
    guard !bytes.isEmpty else { throw EvaluationError(.tooShort, name, "the text is empty") }
    guard !bytes.contains(0) else {
      throw EvaluationError(.badText, name, "not a text: byte \(bytes.firstIndex(of: 0) ?? 0) is zero")
    }
    self.name = name
    self.byteCount = bytes.count
    self.sha256 = bytes.withUnsafeBytes { FileHash.sha256(of: $0) }
    if bytes.first(where: { !EvaluationText.isSpace($0) }) == UInt8(ascii: "{"),
      let lines = try EvaluationText.jsonLines(bytes, name: name)
    {
      documents = lines
      isDocuments = true
    } else {
      documents = [bytes]
      isDocuments = false
    }
  }

  private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }

  /// The `text` of each line; nil when the first line is no JSON object with one, so the file is plain text.
  private static func jsonLines(_ bytes: [UInt8], name: String) throws -> [[UInt8]]? {
    var documents: [[UInt8]] = []
    for (number, line) in bytes.split(separator: 0x0A, omittingEmptySubsequences: false).enumerated() {
      guard !line.allSatisfy(isSpace) else { continue }
      guard let object = line.withUnsafeBytes({ try? JSONValue(parsing: $0) }),
        let text = object["text"]?.stringValue
      else {
        if documents.isEmpty { return nil }
        throw EvaluationError(
          .badText, name,
          "line \(number + 1) is no JSON object with a string \"text\", as the lines before are")
      }
      documents.append(Array(text.utf8))
    }
    return documents
  }
}
