/// Why a recipe cannot be used: what, where in the file, what to do.
public struct RecipeError: Error, Equatable, CustomStringConvertible {
  /// The recipe's path, or "command line".
  public var path: String
  /// The line, counted from 1, when the recipe came from a file.
  public var line: Int?
  /// What is wrong and what to do.
  public var message: String

  /// A failure.
  public init(path: String, line: Int? = nil, _ message: String) {
    self.path = path
    self.line = line
    self.message = message
  }

  public var description: String { line.map { "\(path):\($0): \(message)" } ?? "\(path): \(message)" }
}
