internal import Compression
internal import TensorCore

/// Small text files that the user names.
enum TextFile {
  /// The most bytes that a recipe may have.
  private static let limit = 1 << 20

  /// The whole text of the file at `path`.
  static func read(_ path: String) throws -> String {
    let file = try MappedFile(path: path)
    guard file.region.count <= limit else {
      throw JobError(.badInput, "\(path): \(file.region.count) bytes are too many for a recipe")
    }
    guard let text = file.region.withBytes({ String(validating: $0, as: UTF8.self) }) else {
      throw JobError(.badInput, "\(path): no UTF-8 text; a recipe is a YAML file")
    }
    return text
  }
}
