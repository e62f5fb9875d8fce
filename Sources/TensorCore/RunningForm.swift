internal import CKernels

/// How a matrix is multiplied: its rows in a format that the kernels know, and what is done before and after.
///
/// Formats that kernels do not know are rewritten once, exactly: the numbers that a row stands for stay the same.
struct RunningForm: Sendable {
  /// A format with a kernel.
  var format: TensorFormat
  /// The length of a row with its padding of zeros.
  var columns: Int
  /// The rows.
  var bytes: ByteRegion
  /// What activations are multiplied by beforehand; nil for nothing.
  var columnScales: [Float]?
  /// What results are multiplied by; nil for nothing.
  var rowScales: [Float]?
  /// Whether a token's activations are rounded with one scale for all columns, not one for each 32.
  var scalesTokens = false
  /// How many parts of the matrix's columns lie side by side: two where codes take two bytes.
  var parts = 1

  /// Whether rows are q8_0 blocks with the codes that are not zero alone, in half the room.
  private(set) var isHalved = false

  /// The bytes that one row takes.
  var rowBytes: Int { isHalved ? ck_half_row_bytes(columns) : wholeRowBytes }
  /// The bytes of a row in blocks.
  var wholeRowBytes: Int { columns / format.blockSize * format.bytesPerBlock }

  /// The form of stored rows.
  init(rows: Int, columns: Int, format: TensorFormat, bytes: ByteRegion) {
    switch format {
    case .int4_g32, .int4_g64, .int4_g128: self.init(groupsOf: format, rows: rows, columns: columns, bytes)
    case .int8_channel: self.init(channels: rows, columns: columns, bytes)
    case .w8a8: self.init(integers: rows, columns: columns, bytes)
    case .uniform8, .uniform16: self.init(uniform: format, rows: rows, columns: columns, bytes)
    default: self.init(plain: format, columns: columns, bytes)
    }
    if self.format == .q8_0 { halve(rows: rows) }
  }

  /// Leaves zeros out where at most two of four neighbours are something else, as after pruning to 2:4, and where products of such rows
  /// are faster.
  private mutating func halve(rows: Int) {
    let (columns, stride, whole) = (columns, ck_half_row_bytes(columns), bytes)
    guard rows > 0, columns > 0, columns % 256 == 0, ck_multiplies_halves() != 0 else { return }
    // Dense matrices show themselves at once.
    let startsSparse = withUnsafeTemporaryAllocation(byteCount: stride, alignment: 64) { target in
      target.baseAddress.map { ck_halve_row(whole.base, columns, $0) != 0 } ?? false
    }
    guard startsSparse else { return }
    let isDense = Locked(false)
    let rowBytes = wholeRowBytes
    let halves = Self.rewritten(rows: rows, rowBytes: stride) { row, target in
      if ck_halve_row(whole.base + row * rowBytes, columns, target) == 0 { isDense.withLock { $0 = true } }
    }
    guard !isDense.withLock({ $0 }) else { return }
    bytes = halves
    isHalved = true
  }

  /// The same form with its zeros stored; nil where none are left out.
  func withWholeRows(_ rows: Int) -> RunningForm? {
    guard isHalved else { return nil }
    var form = self
    let (halves, stride, columns) = (bytes, rowBytes, columns)
    form.bytes = Self.rewritten(rows: rows, rowBytes: wholeRowBytes) { row, target in
      ck_expand_row(halves.base + row * stride, columns, target)
    }
    form.isHalved = false
    return form
  }

  private init(plain format: TensorFormat, columns: Int, _ bytes: ByteRegion) {
    (self.format, self.columns, self.bytes) = (format, columns, bytes)
  }

  /// Groups become q4_0 blocks, each with its group's scale.
  private init(groupsOf format: TensorFormat, rows: Int, columns: Int, _ stored: ByteRegion) {
    self.format = .q4_0
    self.columns = columns
    let (parts, size) = (format.blockSize / 32, format.bytesPerBlock)
    guard parts > 1 else {
      bytes = stored
      return
    }
    let groups = columns / format.blockSize
    bytes = Self.rewritten(rows: rows, rowBytes: columns / 32 * 18) { row, target in
      for group in 0..<groups {
        let source = stored.base + (row * groups + group) * size
        for part in 0..<parts {
          let block = target + (group * parts + part) * 18
          block.copyMemory(from: source, byteCount: 2)
          (block + 2).copyMemory(from: source + 2 + 16 * part, byteCount: 16)
        }
      }
    }
  }

  /// Rows with one scale become q8_0 blocks that repeat it.
  private init(channels rows: Int, columns: Int, _ stored: ByteRegion) {
    format = .q8_0
    self.columns = (columns + 31) / 32 * 32
    let blocks = self.columns / 32
    bytes = Self.rewritten(rows: rows, rowBytes: blocks * 34) { row, target in
      let source = stored.base + row * (2 + columns)
      for block in 0..<blocks {
        let place = target + block * 34
        place.copyMemory(from: source, byteCount: 2)
        (place + 2).copyMemory(from: source + 2 + 32 * block, byteCount: min(32, columns - 32 * block))
      }
    }
  }

  /// Rows for activations with one scale a token become q8_0 blocks of scale 1, so that sums are integers; the rows' scales
  /// go into the results.
  private init(integers rows: Int, columns: Int, _ stored: ByteRegion) {
    self.init(channels: rows, columns: columns, stored)
    let (blocks, rowBytes) = (self.columns / 32, self.rowBytes)
    let one = UInt16(0x3C00).littleEndian
    let scaled = bytes
    bytes = Self.rewritten(rows: rows, rowBytes: rowBytes) { row, target in
      target.copyMemory(from: scaled.base + row * rowBytes, byteCount: rowBytes)
      for block in 0..<blocks { target.storeBytes(of: one, toByteOffset: block * 34, as: UInt16.self) }
    }
    rowScales = (0..<rows).map { Self.half(stored, $0 * (2 + columns)) }
    scalesTokens = true
  }

  /// Uniform codes become q8_0 blocks of scale r, for activations times c. A code of two bytes is l + 256·h with signed bytes: columns
  /// of l, and behind them columns of h for activations 256 times as large.
  private init(uniform stored: TensorFormat, rows: Int, columns: Int, _ region: ByteRegion) {
    format = .q8_0
    parts = stored == .uniform8 ? 1 : 2
    let blocks = (columns + 31) / 32
    self.columns = blocks * 32 * parts
    let (isWide, stride) = (stored == .uniform16, 2 + columns * stored.bytesPerBlock)
    let all = blocks * parts
    bytes = Self.rewritten(rows: rows, rowBytes: all * 34) { row, target in
      let scale = region.base.loadUnaligned(fromByteOffset: row * stride, as: UInt16.self)
      for block in 0..<all { target.storeBytes(of: scale, toByteOffset: block * 34, as: UInt16.self) }
      let codes = region.base + row * stride + 2
      for column in 0..<columns {
        let place = column / 32 * 34 + 2 + column % 32
        guard isWide else {
          target.storeBytes(
            of: codes.load(fromByteOffset: column, as: UInt8.self), toByteOffset: place, as: UInt8.self)
          continue
        }
        let code = Int32(Int16(littleEndian: codes.loadUnaligned(fromByteOffset: 2 * column, as: Int16.self)))
        let low = Int8(truncatingIfNeeded: code)
        let high = Int8(clamping: (code - Int32(low)) / 256)
        target.storeBytes(of: low, toByteOffset: place, as: Int8.self)
        target.storeBytes(of: high, toByteOffset: blocks * 34 + place, as: Int8.self)
      }
    }
    columnScales = (0..<columns).map { Self.half(region, rows * stride + 2 * $0) }
  }

  /// The half-precision number at a place, which need not be aligned.
  private static func half(_ region: ByteRegion, _ offset: Int) -> Float {
    ck_half_to_float(
      UInt16(littleEndian: region.base.loadUnaligned(fromByteOffset: offset, as: UInt16.self)))
  }

  private static func rewritten(
    rows: Int, rowBytes: Int, _ body: @Sendable (_ row: Int, _ target: UnsafeMutableRawPointer) -> Void
  ) -> ByteRegion {
    ByteRegion(count: rows * rowBytes) { memory in
      guard let base = memory.baseAddress, rowBytes > 0 else { return }
      nonisolated(unsafe) let start = base
      Parallel.forEach(rows, work: rows * rowBytes) { body($0, start + $0 * rowBytes) }
    }
  }
}

extension RunningForm {
  /// Whether activations go in as they are.
  var takesPlainActivations: Bool { columnScales == nil && parts == 1 }

  /// One token's activations as the rows want them: scaled, padded with zeros, repeated.
  func prepare(_ x: UnsafePointer<Float>, count: Int, into target: UnsafeMutablePointer<Float>) {
    let width = columns / parts
    target.update(repeating: 0, count: columns)
    target.update(from: x, count: count)
    columnScales?.withUnsafeBufferPointer { scales in
      guard let base = scales.baseAddress else { return }
      Kernels.multiply(base, into: target, count: count)
    }
    guard parts == 2 else { return }
    for column in 0..<count { target[width + column] = 256 * target[column] }
  }

  /// The weights of a row: the inverse of the rewriting.
  func decode(_ row: Int, count: Int, into target: UnsafeMutablePointer<Float>) {
    if isHalved {
      return withUnsafeTemporaryAllocation(byteCount: wholeRowBytes, alignment: 64) { whole in
        guard let whole = whole.baseAddress else { return }
        ck_expand_row(bytes.base + row * rowBytes, columns, whole)
        decode(from: whole, row, count: count, into: target)
      }
    }
    decode(from: bytes.base + row * rowBytes, row, count: count, into: target)
  }

  private func decode(
    from source: UnsafeRawPointer, _ row: Int, count: Int, into target: UnsafeMutablePointer<Float>
  ) {
    if takesPlainActivations, rowScales == nil, columns == count {
      return Kernels.decode(source, as: format, into: target, count: count)
    }
    withUnsafeTemporaryAllocation(of: Float.self, capacity: columns) { whole in
      guard let whole = whole.baseAddress else { return }
      Kernels.decode(source, as: format, into: whole, count: columns)
      if parts == 2 { Kernels.addScaled(256, whole + columns / 2, to: whole, count: count) }
      for column in 0..<count {
        target[column] = (rowScales?[row] ?? 1) * whole[column] * (columnScales?[column] ?? 1)
      }
    }
  }
}
