/// Up to three weight matrices that multiply the same activations: those are quantized once, and the rows of all
/// matrices are one loop over threads.
///
/// Results are those of ``WeightMatrix/multiply(_:tokens:into:scratch:)``, matrix by matrix.
public struct MatrixGroup: Sendable {
  /// Where the results of each matrix go: `tokens` × `rows`, row-major.
  public struct Results {
    private let first: UnsafeMutablePointer<Float>
    private let second, third: UnsafeMutablePointer<Float>?

    /// The places of one, two or three matrices' results.
    public init(
      _ first: UnsafeMutablePointer<Float>, _ second: UnsafeMutablePointer<Float>? = nil,
      _ third: UnsafeMutablePointer<Float>? = nil
    ) {
      self.first = first
      self.second = second
      self.third = third
    }

    subscript(index: Int) -> UnsafeMutablePointer<Float> {
      let place = index == 0 ? first : index == 1 ? second : third
      guard let place else { preconditionFailure("results of \(index + 1) matrices are wanted") }
      return place
    }
  }

  /// The matrices.
  public let matrices: [WeightMatrix]
  private let parts: [MatrixProduct.Part]
  private let kind: Kind

  /// What the matrices have in common.
  private enum Kind { case blocks, prepared, floats, nothing }

  /// A group of one to three matrices.
  ///
  /// - Precondition: all have the same number of columns.
  public init(_ matrices: [WeightMatrix]) {
    precondition((1...3).contains(matrices.count), "a group has one to three matrices")
    precondition(matrices.allSatisfy { $0.columns == matrices[0].columns }, "a group shares its activations")
    self.matrices = matrices
    parts = matrices.flatMap(\.parts)
    if matrices.allSatisfy({ $0.format.isQuantized && $0.takesPlainActivations && $0.form.rowScales == nil })
    {
      kind = .blocks
    } else if matrices.allSatisfy({
      $0.format.isQuantized && !$0.form.scalesTokens && $0.form.rowScales == nil
    }) {
      kind = .prepared
    } else if matrices.allSatisfy({ $0.format.isFloat }) {
      kind = .floats
    } else {
      kind = .nothing
    }
  }

  /// Multiplies `tokens` × `columns` activations with each matrix.
  ///
  /// - Parameters:
  ///   - results: a place for each matrix; overwritten.
  ///   - scratch: memory to reuse between calls of one caller.
  public func multiply(
    _ x: UnsafePointer<Float>, tokens: Int, into results: Results, scratch: ActivationScratch? = nil
  ) {
    let columns = matrices[0].columns
    guard kind != .nothing, tokens > 0, columns > 0 else {
      for (place, matrix) in matrices.enumerated() {
        matrix.multiply(x, tokens: tokens, into: results[place], scratch: scratch)
      }
      return
    }
    let widest = matrices.reduce(columns) { max($0, $1.form.columns) }
    let product = MatrixProduct(
      parts: parts, columns: kind == .prepared ? widest : columns, x: x, tokens: tokens, results: results)
    switch kind {
    case .blocks: product.multiplyBlocks(scratch: scratch ?? ActivationScratch())
    case .prepared: product.multiplyPrepared(count: columns, scratch: scratch ?? ActivationScratch())
    case .floats, .nothing: product.multiplyFloats(scratch: scratch ?? ActivationScratch())
    }
  }
}
