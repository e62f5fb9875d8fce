import ModelFiles
import TensorCore

/// The rows that tokens become: a matrix in memory, or one that is loaded after the first token.
///
/// A late matrix of an artifact decodes only the rows of a short first prompt, so that a model answers before a matrix is decoded of
/// which a token reads one row. The second pass loads it whole.
final class TokenEmbedding: Sendable {
  /// The number of tokens.
  let rows: Int
  /// The bytes of a row, as it is stored.
  let rowBytes: Int
  /// The matrix, where it was loaded at once.
  private let matrix: WeightMatrix?
  private let late: Late?

  /// The most tokens of a first pass whose rows are decoded one by one.
  static let fewTokens = 8

  init(_ matrix: WeightMatrix) {
    (rows, self.matrix, late) = (matrix.rows, matrix, nil)
    rowBytes = rows > 0 ? matrix.byteCount / rows : 0
  }

  /// A matrix that is loaded when it is needed whole; nil where `tensor` has no rows that can be loaded one by one.
  init?(late tensor: StoredTensor) {
    guard tensor.shape.count == 2, tensor.format.isWeight, tensor.format.trailerBytesPerColumn == 0,
      tensor.bytes.loadsParts,
      let count = tensor.format.byteCount(of: tensor.rowLength), tensor.bytes.count == count * tensor.rowCount
    else { return nil }
    (rows, rowBytes, matrix) = (tensor.rowCount, count, nil)
    late = Late(tensor, rowBytes: count)
  }

  /// Why a late matrix could not be loaded; rows that could not are zeros.
  var failure: (any Error)? { late?.state.withLock { $0.failure } }

  /// The matrix as it is multiplied: an output that shares it.
  var whole: WeightMatrix? { matrix ?? late?.whole() }

  /// The same rows, with zeros stored that a pruned matrix leaves out.
  var withWholeRows: TokenEmbedding { matrix.map { TokenEmbedding($0.withWholeRows) } ?? self }

  /// Writes the rows of `tokens` one behind the other.
  ///
  /// - Precondition: every token has a row.
  func decode(_ tokens: UnsafeBufferPointer<Int>, width: Int, into target: UnsafeMutablePointer<Float>) {
    nonisolated(unsafe) let (tokens, target) = (tokens, target)
    if matrix == nil, let late, late.takesFew(tokens.count) {
      for place in tokens.indices {
        late.decodeRow(tokens[place], width: width, into: target + place * width)
      }
    } else if let whole {
      Parallel.forEach(tokens.count) { whole.decodeRow(tokens[$0], into: target + $0 * width) }
    } else {
      target.update(repeating: 0, count: tokens.count * width)
    }
  }

  private final class Late: Sendable {
    struct State: Sendable {
      var isFirst = true
      var matrix: WeightMatrix?
      var failure: (any Error)?
    }

    let tensor: StoredTensor
    let rowBytes: Int
    let state = Locked(State())

    init(_ tensor: StoredTensor, rowBytes: Int) { (self.tensor, self.rowBytes) = (tensor, rowBytes) }

    /// Whether this is the first pass, and a short one.
    func takesFew(_ count: Int) -> Bool {
      state.withLock { state in
        defer { state.isFirst = false }
        return state.isFirst && count <= TokenEmbedding.fewTokens
      }
    }

    func whole() -> WeightMatrix? {
      let (matrix, failed) = state.withLock { ($0.matrix, $0.failure != nil) }
      if let matrix { return matrix }
      guard !failed, let bytes = attempt({ try tensor.bytes.load() }) else { return nil }
      let loaded = WeightMatrix(
        rows: tensor.rowCount, columns: tensor.rowLength, format: tensor.format, bytes: bytes)
      state.withLock { $0.matrix = loaded }
      return loaded
    }

    func decodeRow(_ row: Int, width: Int, into target: UnsafeMutablePointer<Float>) {
      guard let bytes = attempt({ try tensor.bytes.loadPart(row * rowBytes..<(row + 1) * rowBytes) }) else {
        return target.update(repeating: 0, count: width)
      }
      WeightMatrix(rows: 1, columns: width, format: tensor.format, bytes: bytes).decodeRow(0, into: target)
    }

    private func attempt(_ load: () throws -> ByteRegion) -> ByteRegion? {
      do { return try load() } catch {
        state.withLock { if $0.failure == nil { $0.failure = error } }
        return nil
      }
    }
  }
}
