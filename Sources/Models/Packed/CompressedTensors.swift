import ModelFiles
import TensorCore

/// The layout of the `compressed-tensors` package: `pack-quantized` 4- and 8-bit weights, symmetric, with a half-precision
/// scale a group or a row.
///
/// For a linear layer X of `rows` × `columns`:
/// - `X.weight_packed` I32 [rows, ⌈columns·bits/32⌉]: codes plus 2^(bits − 1), from the lowest bits on; rest of the row 0;
/// - `X.weight_scale` F16 [rows, groups], groups = columns / group, or 1;
/// - `X.weight_shape` I64 [2]: rows, columns.
///
/// Rows for activations in 8 bits (`w8a8`) are `int-quantized`, as vLLM wants them for its integer kernels:
/// `X.weight` I8 [rows, columns], `X.weight_scale` F16 [rows, 1]; `config.json` says how activations are rounded.
enum CompressedTensors {
  /// The parts that a quantized tensor becomes.
  ///
  /// - Precondition: the format is `int4.g…`, `int8.channel` or `w8a8`.
  static func parts(of tensor: StoredTensor, module: String) -> [StoredTensor] {
    let (rows, columns, format) = (tensor.rowCount, tensor.rowLength, tensor.format)
    if format == .w8a8 { return integerParts(of: tensor, module: module) }
    let sizes = [Int64(rows).littleEndian, Int64(columns).littleEndian].withUnsafeBytes { Array($0) }
    let shape = StoredTensor(
      name: module + ".weight_shape", shape: [2], format: .i64, bytes: TensorBytes(ByteRegion(sizes)))
    return [
      packed(tensor, name: module + ".weight_packed"), scales(of: tensor, module: module), shape,
    ]
  }

  /// Plain integers and a scale a row.
  ///
  /// - Precondition: the format is `int8.channel` or `w8a8`.
  static func integerParts(of tensor: StoredTensor, module: String) -> [StoredTensor] {
    let (rows, columns) = (tensor.rowCount, tensor.rowLength)
    let codes = tensor.derived(module + ".weight", shape: [rows, columns], format: .i8) { source, target in
      for row in 0..<rows {
        (target + row * columns).copyMemory(
          from: source.base + row * (2 + columns) + 2, byteCount: columns)
      }
    }
    return [codes, scales(of: tensor, module: module)]
  }

  private static func scales(of tensor: StoredTensor, module: String) -> StoredTensor {
    let (rows, columns, format) = (tensor.rowCount, tensor.rowLength, tensor.format)
    let scales = StoredScales.count(format, columns: columns)
    return tensor.derived(module + ".weight_scale", shape: [rows, scales], format: .f16) {
      source, target in
      for row in 0..<rows {
        for index in 0..<scales {
          let bits = StoredScales.bits(source, format: format, columns: columns, row: row, index: index)
          target.storeBytes(of: bits.littleEndian, toByteOffset: 2 * (row * scales + index), as: UInt16.self)
        }
      }
    }
  }

  /// The name of a format's compression in `config.json`.
  static func compression(_ format: TensorFormat) -> String {
    format == .w8a8 ? "int-quantized" : "pack-quantized"
  }

  /// Activations in 8 bits with one scale a token, made as they come.
  static let tokenActivations = JSONValue.object(
    JSONObject([
      ("num_bits", .integer(8)), ("type", .string("int")), ("symmetric", .bool(true)),
      ("strategy", .string("token")), ("group_size", .null), ("dynamic", .bool(true)), ("actorder", .null),
      ("block_structure", .null), ("observer", .null), ("observer_kwargs", .object(JSONObject())),
    ]))

  private static func packed(_ tensor: StoredTensor, name: String) -> StoredTensor {
    let (rows, columns, format) = (tensor.rowCount, tensor.rowLength, tensor.format)
    let rowBytes = format.byteCount(of: columns) ?? 0
    guard let group = Int4Codes.group(format) else {
      let words = (columns + 3) / 4
      return tensor.derived(name, shape: [rows, words], format: .i32) { source, target in
        for row in 0..<rows {
          let codes = source.base + row * rowBytes + 2
          for column in 0..<columns {
            let code = codes.load(fromByteOffset: column, as: UInt8.self) ^ 0x80
            target.storeBytes(of: code, toByteOffset: row * words * 4 + column, as: UInt8.self)
          }
        }
      }
    }
    return tensor.derived(name, shape: [rows, columns / 8], format: .i32) { source, target in
      withUnsafeTemporaryAllocation(of: UInt8.self, capacity: columns) { codes in
        guard let codes = codes.baseAddress else { return }
        for row in 0..<rows {
          let stored = (source.base + row * rowBytes).assumingMemoryBound(to: UInt8.self)
          Int4Codes.unpack(row: stored, columns: columns, group: group, into: codes)
          for pair in 0..<columns / 2 {
            let byte = codes[2 * pair] | codes[2 * pair + 1] << 4
            target.storeBytes(of: byte, toByteOffset: row * columns / 2 + pair, as: UInt8.self)
          }
        }
      }
    }
  }
}
