/// A tensor that an architecture knows: its names, its purpose, its shape.
package struct TensorEntry: Sendable {
  /// The canonical name.
  package var name: String
  /// The name in GGUF files.
  package var gguf: String
  /// The purpose.
  package var role: TensorRole
  /// The shape, outermost first.
  package var shape: [Int]
  /// Whether a checkpoint may lack it.
  package var isOptional = false
}

/// The tensors of an architecture in canonical order, found by either name.
package struct TensorTable: Sendable {
  /// The entries in canonical order.
  package let entries: [TensorEntry]
  private let byName: [String: Int]
  private let byGGUFName: [String: Int]

  /// A table of `entries`, whose names differ.
  package init(_ entries: [TensorEntry]) {
    self.entries = entries
    byName = Dictionary(entries.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { first, _ in first })
    byGGUFName = Dictionary(
      entries.enumerated().map { ($1.gguf, $0) }, uniquingKeysWith: { first, _ in first })
  }

  /// The entry of a canonical name.
  package subscript(name: String) -> TensorEntry? { byName[name].map { entries[$0] } }
  /// The entry of a GGUF name.
  package subscript(gguf name: String) -> TensorEntry? { byGGUFName[name].map { entries[$0] } }

  /// Names and shapes of the entries that must be there, or of those that may.
  package func shapes(optional: Bool) -> [(name: String, shape: [Int])] {
    entries.filter { $0.isOptional == optional }.map { ($0.name, $0.shape) }
  }
}
