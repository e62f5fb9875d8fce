internal import CKernels

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// The product of one or several weight matrices with one batch of activations: how it is cut into pieces.
///
/// A piece is a range of rows of one matrix for all tokens, and a row's results do not depend on its neighbours in block
/// formats; for float formats in batches, panels have sizes that depend on the shape alone.
struct MatrixProduct: @unchecked Sendable {
  /// A matrix of the product.
  struct Part: Sendable {
    let form: RunningForm
    let rows: Int
    let formatID: Int32
    /// Whether batches of activations may be rounded to bfloat16, as the rows are.
    let roundsActivations: Bool
    /// Whether a token's activations may be kept in half precision, as the rows' weights are in 16 bits.
    let halvesActivations: Bool

    /// - Precondition: the form's format holds weights.
    init(_ form: RunningForm, rows: Int, roundsActivations: Bool) {
      guard let id = form.format.kernelID else { preconditionFailure("\(form.format) does not hold weights") }
      self.form = form
      self.rows = rows
      formatID = id
      self.roundsActivations = roundsActivations && form.format == .bf16
      halvesActivations = roundsActivations && (form.format == .bf16 || form.format == .f16)
    }

    func row(_ index: Int) -> UnsafeRawPointer { form.bytes.base + index * form.rowBytes }
  }

  /// The matrices: all of block formats or all of float formats, with rows of one length.
  let parts: [Part]
  let columns: Int
  let x: UnsafePointer<Float>
  let tokens: Int
  let results: MatrixGroup.Results

  /// Multiplications of a piece when few tokens make the product a matter of memory speed.
  private static let decodeWork = 256 * 1024
  /// From this number of tokens on, float weights are worth a product by panels.
  private static let panelTokens = 4

  /// A number for each of up to three matrices; an array would take memory for every product.
  private struct Offsets {
    private var (first, second, third) = (0, 0, 0)

    subscript(place: Int) -> Int {
      get { place == 0 ? first : place == 1 ? second : third }
      set {
        switch place {
        case 0: first = newValue
        case 1: second = newValue
        default: third = newValue
        }
      }
    }
  }

  // MARK: Block formats

  /// - Parameter scratch: where quantized activations go.
  func multiplyBlocks(scratch: ActivationScratch) {
    let recordBytes = ck_activation_bytes(columns)
    // Behind the records: the tokens' scales, where rows want one for all of a token.
    let memory = scratch.reserve(tokens * (recordBytes + 4))
    let own = (memory + tokens * recordBytes).assumingMemoryBound(to: Float.self)
    nonisolated(unsafe) let (records, scales) = (memory, parts[0].form.scalesTokens ? own : nil)
    let quantizePiece = 8
    Parallel.forEach((tokens + quantizePiece - 1) / quantizePiece, work: tokens * columns) { piece in
      for token in piece * quantizePiece..<min(tokens, (piece + 1) * quantizePiece) {
        let (source, record) = (x + token * columns, records + token * recordBytes)
        if let scales {
          scales[token] = ck_quantize_token(source, columns, record)
        } else {
          ck_quantize_activations(source, columns, record)
        }
      }
    }
    multiplyRecords(memory, offsets: Offsets())
    guard let scales else { return }
    for token in 0..<tokens { ck_scale(scales[token], results[0] + token * parts[0].rows, parts[0].rows) }
  }

  /// The same where each matrix wants the activations in a form of its own: scaled, padded or repeated (``RunningForm/prepare``).
  ///
  /// - Parameters:
  ///   - count: the activations of a token.
  ///   - scratch: where they go.
  func multiplyPrepared(count: Int, scratch: ActivationScratch) {
    var (offsets, total) = (Offsets(), 0)
    for (place, part) in parts.enumerated() {
      offsets[place] = total
      total += tokens * ck_activation_bytes(part.form.columns)
    }
    let memory = scratch.reserve(total)
    nonisolated(unsafe) let records = memory
    Parallel.forEach(parts.count * tokens, work: parts.count * tokens * columns) { [offsets] task in
      let (form, token) = (parts[task / tokens].form, task % tokens)
      let prepared = ThreadScratch.reserve(form.columns * MemoryLayout<Float>.stride)
        .assumingMemoryBound(to: Float.self)
      form.prepare(x + token * count, count: count, into: prepared)
      ck_quantize_activations(
        prepared, form.columns, records + offsets[task / tokens] + token * ck_activation_bytes(form.columns))
    }
    multiplyRecords(memory, offsets: offsets)
  }

  /// - Parameter offsets: where the records of each matrix start.
  private func multiplyRecords(_ memory: UnsafeMutableRawPointer, offsets: Offsets) {
    nonisolated(unsafe) let memory = memory
    if tokens < Int(CK_TILE_TOKENS) {
      forEachPiece(size: { _ in decodePiece }) { place, range in
        let part = parts[place]
        let (records, columns) = (memory + offsets[place], part.form.columns)
        if part.form.isHalved {
          return ck_multiply_half_rows(
            part.row(range.lowerBound), range.count, columns, records, tokens,
            results[place] + range.lowerBound, part.rows)
        }
        ck_multiply_rows(
          part.formatID, part.row(range.lowerBound), part.form.rowBytes, range.count, columns, records,
          tokens,
          results[place] + range.lowerBound, part.rows)
      }
      return
    }
    let scratchBytes = ck_tile_scratch_bytes(parts.reduce(0) { max($0, $1.form.columns) })
    forEachPiece(size: { batchPiece(rows: $0, multiple: 32, most: 64) }) { place, range in
      let part = parts[place]
      let (records, columns) = (memory + offsets[place], part.form.columns)
      guard part.form.isHalved else {
        return ck_multiply_tile(
          part.formatID, part.row(range.lowerBound), part.form.rowBytes, range.count, columns, records,
          tokens,
          results[place] + range.lowerBound, part.rows, ThreadScratch.reserve(scratchBytes))
      }
      // Many tokens are worth whole rows.
      let (stride, start) = (part.form.wholeRowBytes, (scratchBytes + 63) / 64 * 64)
      let scratch = ThreadScratch.reserve(start + range.count * stride)
      for row in 0..<range.count {
        ck_expand_row(part.row(range.lowerBound + row), columns, scratch + start + row * stride)
      }
      ck_multiply_tile(
        part.formatID, scratch + start, stride, range.count, columns, records, tokens,
        results[place] + range.lowerBound, part.rows, scratch)
    }
  }

  // MARK: Float formats

  /// - Parameter scratch: where rounded activations go.
  func multiplyFloats(scratch: ActivationScratch) {
    if tokens < Self.panelTokens { return multiplyFloatRows(scratch: scratch) }
    if parts.allSatisfy(\.roundsActivations), ck_multiplies_bf16() != 0 {
      return multiplyRounded(scratch: scratch)
    }
    // Every piece packs all activations anew, so pieces are as tall as threads that end together allow.
    forEachPiece(size: { batchPiece(rows: 2 * $0, multiple: 128, most: 512) }) { place, range in
      let (part, target) = (parts[place], results[place] + range.lowerBound)
      let row = part.row(range.lowerBound)
      let isReady =
        part.form.format == .f32 && UInt(bitPattern: row) % UInt(MemoryLayout<Float>.alignment) == 0
      if isReady {
        multiplyPanel(row.assumingMemoryBound(to: Float.self), range.count, into: target, rows: part.rows)
      } else {
        let count = range.count * columns
        let panel = ThreadScratch.reserve(count * MemoryLayout<Float>.stride)
          .assumingMemoryBound(to: Float.self)
        ck_decode_row(part.formatID, row, panel, count)
        multiplyPanel(panel, range.count, into: target, rows: part.rows)
      }
    }
  }

  /// A few tokens, row by row: in half precision for 16-bit weights that allow it, since halves stay in the first-level cache while
  /// rows stream through it.
  private func multiplyFloatRows(scratch: ActivationScratch) {
    var halves: (scales: UnsafeMutablePointer<Float>, numbers: UnsafeMutableRawPointer)?
    if parts.contains(where: \.halvesActivations) {
      let memory = scratch.reserve(64 + 2 * tokens * columns)
      let scales = memory.assumingMemoryBound(to: Float.self)
      for token in 0..<tokens {
        let (first, target) = (token * columns, memory + 64 + 2 * token * columns)
        scales[token] = ck_halve_activations(x + first, columns, target)
      }
      halves = (scales, memory + 64)
    }
    nonisolated(unsafe) let shared = halves
    let scratchBytes = columns * MemoryLayout<Float>.stride
    forEachPiece(size: { _ in decodePiece }) { place, range in
      let (part, target) = (parts[place], results[place] + range.lowerBound)
      let halves = part.halvesActivations ? shared : nil
      ck_multiply_float_rows(
        part.formatID, part.row(range.lowerBound), part.form.rowBytes, range.count, columns,
        Int32(halves == nil ? CK_F32 : CK_F16),
        halves.map { UnsafeRawPointer($0.numbers) } ?? UnsafeRawPointer(x),
        tokens, target, part.rows,
        ThreadScratch.reserve(scratchBytes).assumingMemoryBound(to: Float.self))
      guard let halves else { return }
      for token in 0..<tokens { ck_scale(halves.scales[token], target + token * part.rows, range.count) }
    }
  }

  private func multiplyRounded(scratch: ActivationScratch) {
    let tokenBytes = ck_bf16_activation_bytes(columns)
    nonisolated(unsafe) let rounded = scratch.reserve(tokens * tokenBytes)
    Parallel.forEach(tokens, work: tokens * columns) { token in
      let target = rounded + token * tokenBytes
      memset(target + tokenBytes - 64, 0, 64)
      ck_encode_bf16(x + token * columns, target, columns)
    }
    let scratchBytes = ck_bf16_scratch_bytes(columns)
    forEachPiece(size: { batchPiece(rows: $0, multiple: 32, most: 128) }) { place, range in
      let part = parts[place]
      ck_multiply_bf16(
        part.row(range.lowerBound), part.form.rowBytes, range.count, columns, rounded, tokens,
        results[place] + range.lowerBound, part.rows, ThreadScratch.reserve(scratchBytes))
    }
  }

  private func multiplyPanel(
    _ panel: UnsafePointer<Float>, _ count: Int, into target: UnsafeMutablePointer<Float>, rows: Int
  ) {
    LinearAlgebra.product(
      x, columns, panel, columns, transposed: true, rows: tokens, inner: columns, columns: count,
      into: target,
      rows)
  }

  // MARK: Pieces

  private var decodePiece: Int { max(8, Self.decodeWork / columns) }

  /// Rows of a piece in batches: about sixteen pieces a matrix, so that threads end together.
  private func batchPiece(rows: Int, multiple: Int, most: Int) -> Int {
    let sixteenth = (rows / 16 + multiple - 1) / multiple * multiple
    return min(max(sixteenth, multiple), most)
  }

  /// Calls `body` for the pieces of all matrices, as places and ranges of rows, on several threads if it is worth it.
  ///
  /// - Parameter size: the rows of a piece of a matrix with that many rows.
  private func forEachPiece(size: @Sendable (Int) -> Int, _ body: @Sendable (Int, Range<Int>) -> Void) {
    var (pieces, rows) = (0, 0)
    for part in parts {
      pieces += (part.rows + size(part.rows) - 1) / size(part.rows)
      rows += part.rows
    }
    let isStream = tokens < Int(CK_TILE_TOKENS)
    Parallel.forEach(pieces, work: rows * columns * tokens, inStretches: isStream) { index in
      var first = index
      for (place, part) in parts.enumerated() {
        let size = size(part.rows)
        let own = (part.rows + size - 1) / size
        if first < own { return body(place, first * size..<min(part.rows, (first + 1) * size)) }
        first -= own
      }
    }
  }
}
