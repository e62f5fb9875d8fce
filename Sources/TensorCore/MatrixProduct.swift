internal import CKernels
internal import COpenBLAS

/// One product of a weight matrix with a batch of activations: how it is cut into pieces.
///
/// A piece is a range of rows for all tokens, and a row's results do not depend on its neighbours in block
/// formats; for float formats in batches, OpenBLAS sees panels whose size depends on the shape alone.
struct MatrixProduct: @unchecked Sendable {
  private let weights: RunningForm
  private let rows: Int
  private let x: UnsafePointer<Float>
  private let tokens: Int
  private let y: UnsafeMutablePointer<Float>
  private let formatID: Int32

  /// Multiplications of a piece when few tokens make the product a matter of memory speed.
  private static let decodeWork = 64 * 1024
  /// From this number of tokens on, float weights are worth handing to OpenBLAS.
  private static let panelTokens = 4

  init(
    form: RunningForm, rows: Int, x: UnsafePointer<Float>, tokens: Int, y: UnsafeMutablePointer<Float>
  ) {
    guard let id = form.format.kernelID else {
      preconditionFailure("\(form.format) does not hold weights")
    }
    self.weights = form
    self.rows = rows
    self.x = x
    self.tokens = tokens
    self.y = y
    self.formatID = id
  }

  // MARK: Block formats

  func multiplyBlocks() {
    let recordBytes = ck_activation_bytes(weights.columns)
    let memory = UnsafeMutableRawPointer.allocate(byteCount: tokens * recordBytes, alignment: 64)
    defer { memory.deallocate() }
    let own = weights.scalesTokens ? UnsafeMutablePointer<Float>.allocate(capacity: tokens) : nil
    defer { own?.deallocate() }
    nonisolated(unsafe) let (records, scales) = (memory, own)
    forEachPiece(of: tokens, size: 8) { range in
      for token in range {
        let (source, record) = (x + token * weights.columns, records + token * recordBytes)
        if let scales {
          scales[token] = ck_quantize_token(source, weights.columns, record)
        } else {
          ck_quantize_activations(source, weights.columns, record)
        }
      }
    }
    multiplyRecords(records)
    guard let own else { return }
    nonisolated(unsafe) let (factors, results) = (own, y)
    forEachPiece(of: tokens, size: 8) { range in
      for token in range { ck_scale(factors[token], results + token * rows, rows) }
    }
  }

  private func multiplyRecords(_ memory: UnsafeMutableRawPointer) {
    nonisolated(unsafe) let records = memory
    if tokens < Int(CK_TILE_TOKENS) {
      forEachPiece(of: rows, size: decodePiece) { range in
        ck_multiply_rows(
          formatID, row(range.lowerBound), weights.rowBytes, range.count, weights.columns, records, tokens,
          y + range.lowerBound, rows)
      }
      return
    }
    let scratchBytes = ck_tile_scratch_bytes(weights.columns)
    forEachPiece(of: rows, size: batchPiece(multiple: 16, most: 64)) { range in
      let scratch = UnsafeMutableRawPointer.allocate(byteCount: scratchBytes, alignment: 64)
      defer { scratch.deallocate() }
      ck_multiply_tile(
        formatID, row(range.lowerBound), weights.rowBytes, range.count, weights.columns, records, tokens,
        y + range.lowerBound, rows, scratch)
    }
  }

  // MARK: Float formats

  func multiplyFloats() {
    if tokens < Self.panelTokens {
      forEachPiece(of: rows, size: decodePiece) { range in
        withUnsafeTemporaryAllocation(of: Float.self, capacity: weights.columns) { scratch in
          ck_multiply_float_rows(
            formatID, row(range.lowerBound), weights.rowBytes, range.count, weights.columns, x, tokens,
            y + range.lowerBound, rows, scratch.baseAddress)
        }
      }
      return
    }
    OpenBLAS.prepare()
    let start = weights.bytes.base
    let isReady = weights.format == .f32 && UInt(bitPattern: start) % UInt(MemoryLayout<Float>.alignment) == 0
    forEachPiece(of: rows, size: batchPiece(multiple: 16, most: 128)) { range in
      if isReady {
        multiplyPanel(row(range.lowerBound).assumingMemoryBound(to: Float.self), range)
      } else {
        let count = range.count * weights.columns
        let panel = UnsafeMutablePointer<Float>.allocate(capacity: count)
        defer { panel.deallocate() }
        ck_decode_row(formatID, row(range.lowerBound), panel, count)
        multiplyPanel(panel, range)
      }
    }
  }

  private func multiplyPanel(_ panel: UnsafePointer<Float>, _ range: Range<Int>) {
    cblas_sgemm(
      CblasRowMajor, CblasNoTrans, CblasTrans, Int32(tokens), Int32(range.count), Int32(weights.columns), 1,
      x, Int32(weights.columns), panel, Int32(weights.columns), 0, y + range.lowerBound, Int32(rows))
  }

  // MARK: Pieces

  private func row(_ index: Int) -> UnsafeRawPointer { weights.bytes.base + index * weights.rowBytes }

  private var decodePiece: Int { max(8, Self.decodeWork / weights.columns) }

  /// Rows of a piece in batches: about sixteen pieces a matrix, so that threads end together.
  private func batchPiece(multiple: Int, most: Int) -> Int {
    let sixteenth = (rows / 16 + multiple - 1) / multiple * multiple
    return min(max(sixteenth, multiple), most)
  }

  /// Calls `body` for consecutive ranges of `size` indices below `count`, on several threads if it is worth it.
  private func forEachPiece(of count: Int, size: Int, _ body: @Sendable (Range<Int>) -> Void) {
    let pieces = (count + size - 1) / size
    @Sendable func run(_ piece: Int) { body(piece * size..<min(count, (piece + 1) * size)) }
    Parallel.forEach(pieces, work: rows * weights.columns * tokens, run)
  }
}
