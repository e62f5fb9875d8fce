import ModelFiles
import Models
import TensorCore

/// The shape of a student that a Hugging Face `config.json` states. Everything else, such as the rotation of positions, is the
/// teacher's.
struct StudentConfiguration {
  private let path: String
  private let json: JSONValue

  /// Reads a file.
  ///
  /// - Throws: ``PassError`` when it is no configuration.
  init(path: String) throws {
    self.path = path
    do {
      let file = try MappedFile(path: path)
      guard file.region.count <= StudentConfiguration.limit else {
        throw PassError("\(path): a configuration of \(file.region.count) bytes is none")
      }
      json = try withExtendedLifetime(file) { try JSONValue(parsing: file.region.buffer) }
    } catch let error as PassError { throw error } catch {
      throw PassError("\(path): no configuration of a student: \(error)")
    }
  }

  private static let limit = 1 << 20

  /// What stays of the teacher.
  ///
  /// - Throws: ``PassError`` that says what of the student is no part of its teacher.
  func sizes(of architecture: any ResizableArchitecture) throws -> StructureSizes {
    do {
      switch architecture {
      case let teacher as LlamaArchitecture:
        return try sizes(
          try LlamaArchitecture(configuration: json).configuration, of: teacher.configuration)
      case let teacher as BertArchitecture:
        return try sizes(try BertArchitecture(configuration: json).configuration, of: teacher.configuration)
      default: throw PassError("models of this architecture cannot be made smaller here")
      }
    } catch let error as ModelError {
      throw PassError("\(path): no student of this teacher: \(error.message)")
    }
  }

  private func sizes(_ student: LlamaConfiguration, of teacher: LlamaConfiguration) throws -> StructureSizes {
    try check(vocabulary: student.vocabularySize, teacher.vocabularySize)
    guard student.headLength == teacher.headLength else {
      throw PassError(
        "\(path): heads of \(student.headLength) channels, the teacher's have \(teacher.headLength): heads stay whole; "
          + "change hidden_size and num_attention_heads together, or give head_dim \(teacher.headLength)")
    }
    let group = teacher.headCount / teacher.keyValueHeadCount
    guard student.headCount == student.keyValueHeadCount * group else {
      throw PassError(
        "\(path): \(student.headCount) heads with \(student.keyValueHeadCount) key-value heads; the teacher has \(group) to "
          + "each, which stay together")
    }
    var result = StructureSizes(blocks: try blocks(student.blockCount, teacher.blockCount))
    result.kept[.heads] = try size(
      "num_key_value_heads", student.keyValueHeadCount, teacher.keyValueHeadCount)
    result.kept[.neurons] = try size("intermediate_size", student.intermediateSize, teacher.intermediateSize)
    result.kept[.width] = try size("hidden_size", student.hiddenSize, teacher.hiddenSize)
    return try smaller(result, teacher.blockCount)
  }

  private func sizes(_ student: BertConfiguration, of teacher: BertConfiguration) throws -> StructureSizes {
    try check(vocabulary: student.vocabularySize, teacher.vocabularySize)
    guard student.hiddenSize == teacher.hiddenSize, student.headCount == teacher.headCount else {
      throw PassError(
        "\(path): width \(student.hiddenSize) and \(student.headCount) heads, the teacher's \(teacher.hiddenSize) and "
          + "\(teacher.headCount): those of an encoder stay as they are")
    }
    var result = StructureSizes(blocks: try blocks(student.blockCount, teacher.blockCount))
    result.kept[.neurons] = try size("intermediate_size", student.intermediateSize, teacher.intermediateSize)
    return try smaller(result, teacher.blockCount)
  }

  private func check(vocabulary student: Int, _ teacher: Int) throws {
    guard student == teacher else {
      throw PassError(
        "\(path): a vocabulary of \(student) tokens, the teacher has \(teacher): predictions can only be compared token by token"
      )
    }
  }

  private func blocks(_ student: Int, _ teacher: Int) throws -> Int {
    _ = try size("num_hidden_layers", student, teacher)
    return student
  }

  /// A size that changes; nil for the teacher's own.
  private func size(_ key: String, _ student: Int, _ teacher: Int) throws -> Int? {
    guard student <= teacher else {
      throw PassError(
        "\(path): \(key) \(student): a student cannot be larger than its teacher, which has \(teacher)")
    }
    return student < teacher ? student : nil
  }

  private func smaller(_ sizes: StructureSizes, _ blocks: Int) throws -> StructureSizes {
    guard !sizes.kept.isEmpty || sizes.blocks < blocks else {
      throw PassError("\(path): the student has all sizes of its teacher; ask for a smaller one")
    }
    return sizes
  }
}
