import ModelFiles
import TensorCore

/// The layout of GPTQ checkpoints, version 1, symmetric, columns in their own order.
///
/// For a linear layer X of `rows` × `columns`, with n = 32 / bits codes a word:
/// - `X.qweight` I32 [columns / n, rows]: word (k, r) holds the codes of row r, columns n·k on, from the lowest bits on;
/// - `X.qzeros` I32 [groups, rows / n]: zero points minus one, packed alike: 2^(bits − 1) − 1 everywhere;
/// - `X.scales` F16 [groups, rows];
/// - `X.g_idx` I32 [columns]: column / group.
///
/// x = scale·(code − zero point).
enum GPTQ {
  static let endings = ["qweight", "qzeros", "scales", "g_idx"]

  /// The bits of a format's codes.
  static func bits(_ format: TensorFormat) -> Int { format == .int8_channel || format == .w8a8 ? 8 : 4 }

  /// Why a tensor cannot be stored so; nil when it can.
  static func obstacle(_ tensor: StoredTensor) -> String? {
    let perWord = 32 / bits(tensor.format)
    if tensor.rowCount % perWord != 0 { return "\(tensor.rowCount) rows do not divide by \(perWord)" }
    if tensor.rowLength % perWord != 0 { return "rows of \(tensor.rowLength) do not divide by \(perWord)" }
    return nil
  }

  /// The parts that a quantized tensor becomes.
  ///
  /// - Precondition: ``obstacle(_:)`` is nil, and the format is `int4.g…` or `int8.channel`.
  static func parts(of tensor: StoredTensor, module: String) -> [StoredTensor] {
    let (rows, columns, format) = (tensor.rowCount, tensor.rowLength, tensor.format)
    let bits = bits(format)
    let perWord = 32 / bits
    let groups = StoredScales.count(format, columns: columns)
    let group = columns / max(groups, 1)
    let scales = tensor.derived(module + ".scales", shape: [groups, rows], format: .f16) { source, target in
      for row in 0..<rows {
        for index in 0..<groups {
          let half = StoredScales.bits(source, format: format, columns: columns, row: row, index: index)
          target.storeBytes(of: half.littleEndian, toByteOffset: 2 * (index * rows + row), as: UInt16.self)
        }
      }
    }
    let zero: UInt8 = bits == 4 ? 0x77 : 0x7f
    let zeros = ByteRegion([UInt8](repeating: zero, count: groups * rows / perWord * 4))
    let places = (0..<columns).map { Int32($0 / group).littleEndian }.withUnsafeBytes { Array($0) }
    return [
      words(tensor, name: module + ".qweight", bits: bits),
      StoredTensor(
        name: module + ".qzeros", shape: [groups, rows / perWord], format: .i32, bytes: TensorBytes(zeros)),
      scales,
      StoredTensor(
        name: module + ".g_idx", shape: [columns], format: .i32, bytes: TensorBytes(ByteRegion(places))),
    ]
  }

  private static func words(_ tensor: StoredTensor, name: String, bits: Int) -> StoredTensor {
    let (rows, columns, format) = (tensor.rowCount, tensor.rowLength, tensor.format)
    let rowBytes = format.byteCount(of: columns) ?? 0
    return tensor.derived(name, shape: [columns * bits / 32, rows], format: .i32) { source, target in
      withUnsafeTemporaryAllocation(of: UInt8.self, capacity: columns) { codes in
        guard let codes = codes.baseAddress else { return }
        for row in 0..<rows {
          let stored = (source.base + row * rowBytes).assumingMemoryBound(to: UInt8.self)
          if let group = Int4Codes.group(format) {
            Int4Codes.unpack(row: stored, columns: columns, group: group, into: codes)
          } else {
            for column in 0..<columns { codes[column] = stored[2 + column] ^ 0x80 }
          }
          for byte in 0..<columns * bits / 8 {
            let value = bits == 8 ? codes[byte] : codes[2 * byte] | codes[2 * byte + 1] << 4
            target.storeBytes(of: value, toByteOffset: (byte / 4 * rows + row) * 4 + byte % 4, as: UInt8.self)
          }
        }
      }
    }
  }

  /// The matrix of a module's parts.
  ///
  /// - Parameters:
  ///   - bits: 4 or 8, as the configuration says.
  ///   - isVersion2: zero points are stored as they are, not minus one.
  /// - Throws: ``ModelError``: parts that are missing or do not fit, and schemes that are not read here.
  static func matrix(of module: PackedParts, bits: Int, isVersion2: Bool) throws -> StoredTensor {
    let words = try module.part("qweight", [.i32])
    let scale = try module.part("scales", [.f16, .bf16, .f32])
    let zeros = try module.part("qzeros", [.i32])
    let perWord = 32 / bits
    guard words.shape.count == 2 else { throw PackedParts.wrongShape(words, [1, 1]) }
    let (rows, columns) = (words.shape[1], words.shape[0] * perWord)
    guard scale.shape.count == 2, scale.shape[1] == rows, scale.shape[0] > 0 else {
      throw PackedParts.wrongShape(scale, [1, rows])
    }
    let groups = scale.shape[0]
    guard zeros.shape == [groups, rows / perWord], rows % perWord == 0 else {
      throw PackedParts.wrongShape(zeros, [groups, rows / perWord])
    }
    guard columns % groups == 0 else { throw PackedParts.wrongShape(scale, [1, rows]) }
    let center: UInt8 = (bits == 4 ? 0x77 : 0x7f) &+ (isVersion2 ? (bits == 4 ? 0x11 : 1) : 0)
    guard try zeros.bytes.load().array.allSatisfy({ $0 == center }) else {
      throw ModelError(
        .unsupported, "",
        "tensor '\(zeros.name)': zero points (asymmetric weights) are not read here; start from the original checkpoint"
      )
    }
    if let order = module.parts["g_idx"] {
      _ = try module.part("g_idx", [.i32])
      guard order.shape == [columns] else { throw PackedParts.wrongShape(order, [columns]) }
      let group = columns / groups
      guard try order.integers().enumerated().allSatisfy({ $1 == $0 / group }) else {
        throw ModelError(
          .unsupported, "",
          "tensor '\(order.name)': columns in another order (desc_act) are not read here; start from the original checkpoint"
        )
      }
    }
    return try ForeignCodes(
      name: module.module + ".weight", rows: rows, columns: columns, bits: bits, groups: groups,
      codes: { try codes(words, rows: rows, columns: columns, bits: bits) },
      scales: {
        let stored = try scale.halves()
        return (0..<rows * groups).map { stored[$0 % groups * rows + $0 / groups] }
      }
    ).tensor()
  }

  private static func codes(_ words: StoredTensor, rows: Int, columns: Int, bits: Int) throws -> [UInt8] {
    let perByte = 8 / bits
    return try words.bytes.load().withBytes { buffer in
      (0..<rows * columns).map { place in
        let (row, column) = (place / columns, place % columns)
        let index = column / perByte
        let byte = buffer[(index / 4 * rows + row) * 4 + index % 4]
        return bits == 8 ? byte : column % 2 == 0 ? byte & 15 : byte >> 4
      }
    }
  }
}
