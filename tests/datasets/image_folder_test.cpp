// Which files of a folder of images are taken: links, hidden files, what systems leave, partitions, and names
// with commas.
#include "datasets/image_folder.h"

#include "datasets/images.h"
#include "tests/datasets/pictures.h"

namespace elbo {
namespace {

namespace fs = std::filesystem;

/// Files with links, and what is said of them.
struct Folder : ImageFiles {
  void put_plain(const std::string& name, int value = 0) const {
    put(name, png(plain_picture(4, 4, static_cast<uint8_t>(value))));
  }
  void link(const std::string& name, const std::string& target) const {
    const fs::path path = fs::path(folder()) / name;
    fs::create_directories(path.parent_path());
    fs::create_symlink(target, path);
  }
};

using Names = std::vector<std::string>;

Names images_of(const std::string& folder) { return list_images(folder).images; }

struct Told {
  std::vector<int> firsts;  // the first byte of every image
  std::string notes;        // a line each

  explicit Told(const std::string& spec, Split split = Split::train) {
    const Dataset data = load_dataset(
        spec, {.split = split, .note = [this](const std::string& line) { notes += line + "\n"; }});
    for (int64_t i = 0; i < data.points(); ++i)
      firsts.push_back(data.x.data<uint8_t>()[i * data.dimensions()]);
  }
};

std::string refusal(const std::string& spec, Split split = Split::train) {
  return error_of([&] { load_dataset(spec, {.split = split}); });
}

}  // namespace

TEST_SUITE("datasets") {
  TEST_CASE("links to folders and files are followed, in the order of names") {
    const Folder files;
    files.put_plain("all/m/1.png", 1);
    files.put_plain("../elsewhere/2.png", 2);
    files.put_plain("../elsewhere/deep/3.png", 3);
    files.put_plain("../single.png", 4);
    files.link("all/b", "../../elsewhere");
    files.link("all/z.png", "../../single.png");
    const std::string all = files.folder() + "/all";
    CHECK(images_of(all) == Names{"b/2.png", "b/deep/3.png", "m/1.png", "z.png"});
    const Told told("images:" + all + ",size=1");
    CHECK(told.firsts == std::vector{2, 3, 1, 4});
    CHECK(told.notes == "");
    // A link to a link, and the folder itself named by one.
    files.link("again", "all");
    files.link("more/c", "../again/b");
    CHECK(images_of(files.folder() + "/again") == images_of(all));
    CHECK(images_of(files.folder() + "/more") == Names{"c/2.png", "c/deep/3.png"});
  }

  TEST_CASE("loops of links come to an end, and do not leave the folder") {
    const Folder files;
    files.put_plain("d/a/1.png", 1);
    files.put_plain("outside.png", 2);
    files.link("d/self", ".");
    files.link("d/a/up", "../..");  // beside d are pictures that are none of its
    files.link("d/a/top", "..");
    files.put_plain("e/2.png", 3);
    files.link("d/e", "../e");
    files.link("e/back", "../d");
    files.link("e/up", "..");
    const Told told("images:" + files.folder() + "/d,size=1");
    CHECK(told.firsts == std::vector{1, 3});
    CHECK(mentions(told.notes, "not followed: 'a/top' (and 4 more)"));
  }

  TEST_CASE("what several paths lead to counts once, by the path without links before the others") {
    const Folder files;
    files.put_plain("d/m/1.png", 1);
    files.put_plain("pool/2.png", 2);
    files.put_plain("pool/below/3.png", 3);
    files.link("d/a", "m");
    files.link("d/c", "../pool");
    files.link("d/b", "../pool/below");
    files.link("d/0.png", "m/1.png");
    files.link("d/8.png", "../pool/2.png");
    files.put_plain("one.png", 4);
    files.link("d/y.png", "../one.png");
    files.link("d/x.png", "../one.png");
    CHECK(images_of(files.folder() + "/d") == Names{"b/3.png", "c/2.png", "m/1.png", "x.png"});
    const Told told("images:" + files.folder() + "/d,size=1");
    CHECK(told.firsts == std::vector{3, 2, 1, 4});
    CHECK(mentions(told.notes, "taken once; not followed: '0.png' (and 4 more)"));
    // A name is no link: as `cp` makes two files of two hard links, they are two.
    fs::create_hard_link(files.folder() + "/d/m/1.png", files.folder() + "/d/m/4.png");
    CHECK(images_of(files.folder() + "/d") == Names{"b/3.png", "c/2.png", "m/1.png", "m/4.png", "x.png"});
  }

  TEST_CASE("a link that leads nowhere is said, as a folder and as a file") {
    const Folder files;
    files.put_plain("1.png", 1);
    files.link("gone", "nowhere");
    files.link("ring", "ring");
    files.link("2.png", "nowhere.png");
    files.link("README", "1.png");  // neither an image nor a folder by its name
    const Told told(files.spec(",size=1"));
    CHECK(told.firsts == std::vector{1});
    CHECK(mentions(told.notes, "a link cannot be followed: 'gone', No such file or directory (and 1 more)"));
    CHECK(mentions(told.notes, "1 of 2 files were skipped"));
  }

  TEST_CASE("hidden files and folders, and what systems put beside pictures, are not taken") {
    const Folder files;
    for (const char* name :
         {"a/1.png", ".ipynb_checkpoints/1-checkpoint.png", "a/.ipynb_checkpoints/1-checkpoint.png",
          "a/.hidden.png", "__MACOSX/a/1.png", "__MACOSX/a/._1.png", "a/._1.png", ".Trash-1000/files/2.png",
          "a/@eaDir/1.png/SYNOPHOTO_THUMB_M.jpg", ".png", "a/b.c/.d/3.png"})
      files.put_plain(name, 1);
    files.link(".linked", "a");
    files.put_plain("MACOSX__/2.png", 2);
    CHECK(images_of(files.folder()) == Names{"MACOSX__/2.png", "a/1.png"});
    CHECK(Told(files.spec(",size=1,strict")).notes == "");
    // Asked for by its own name, a hidden folder is taken.
    CHECK(images_of(files.folder() + "/a/.ipynb_checkpoints") == Names{"1-checkpoint.png"});
    CHECK(images_of(files.folder() + "/__MACOSX/a") == Names{"1.png"});
  }

  TEST_CASE("Kaggle's list_eval_partition.csv keeps test faces out of training, wherever archives put it") {
    const std::string csv =
        "image_id,partition\r\n000001.png,2\r\n000002.png,0\r\n000003.png,1\r\n000004.png,0\r\n";
    const std::string txt = "000001.png 2\n000002.png 0\n000003.png 1\n000004.png 0\n";
    struct Layout {
      std::string list, images;
      Names named;  // as the user may name the folder
    };
    for (const Layout& layout :
         {Layout{"list_eval_partition.csv",
                 "img_align_celeba/img_align_celeba",
                 {"", "/img_align_celeba", "/img_align_celeba/", "/img_align_celeba/img_align_celeba",
                  "/img_align_celeba/img_align_celeba/"}},
          Layout{"img_align_celeba/list_eval_partition.csv", "img_align_celeba", {"/img_align_celeba"}},
          Layout{"Eval/list_eval_partition.txt",
                 "Img/img_align_celeba",
                 {"", "/Img", "/Img/img_align_celeba", "/Img/../Img/img_align_celeba/."}},
          Layout{"list_eval_partition.txt", "pictures", {"", "/pictures"}}}) {
      const Folder files;
      for (int i = 1; i <= 4; ++i) files.put_plain(fmt::format("{}/00000{}.png", layout.images, i), i);
      files.put(layout.list, layout.list.ends_with("csv") ? csv : txt);
      for (const std::string& name : layout.named) {
        const std::string spec = files.spec(name + ",size=1");
        CAPTURE(spec);
        const Told told(spec);
        CHECK(told.firsts == std::vector{2, 4});
        CHECK(told.notes == "");
        CHECK(Told(spec, Split::test).firsts == std::vector{1});
      }
    }
  }

  TEST_CASE("a partition is looked for beside the link that the user names and beside what it leads to") {
    const Folder files;
    for (int i = 1; i <= 3; ++i) files.put_plain(fmt::format("pool/faces/{}.png", i), i);
    files.link("mine/faces", "../pool/faces");
    const std::string spec = files.spec("/mine/faces,size=1");
    files.put("pool/list_eval_partition.csv", "image_id,partition\n1.png,0\n2.png,2\n3.png,0\n");
    CHECK(Told(spec).firsts == std::vector{1, 3});
    files.put("mine/list_eval_partition.csv", "image_id,partition\n1.png,2\n2.png,0\n3.png,2\n");
    CHECK(Told(spec).firsts == std::vector{2});
  }

  TEST_CASE("a partition's lines are read with and without header, quotes and blanks, or refused") {
    const Folder files;
    for (int i = 1; i <= 3; ++i) files.put_plain(fmt::format("a,{} b.png", i), i);
    const auto with = [&](const std::string& text) {
      files.put("list_eval_partition.csv", text);
      return Told(files.spec(",size=1")).firsts;
    };
    const std::vector expected{1, 3};
    CHECK(with("image_id,partition\na,1 b.png,0\na,2 b.png,2\na,3 b.png,0\n") == expected);
    CHECK(with("a,1 b.png,0\na,2 b.png,1\na,3 b.png,0") == expected);
    CHECK(with("\xef\xbb\xbf\"image_id\",\"partition\"\r\n\"a,1 b.png\",\"0\"\r\n\r\n a,3 b.png , 0 \r\n"
               "a,2 b.png,2\r\n") == expected);
    for (const char* bad : {"image_id,partition\na,1 b.png,0\na,2 b.png\n", "x,partition\ny,partition\n",
                            "a,1 b.png,3\n", "a,1 b.png,\n", ",0\n", "a.png 0\n"}) {
      files.put("list_eval_partition.csv", bad);
      CHECK(mentions(refusal(files.spec(",size=1")), "0 (training), 1 (validation) or 2 (test) are needed"));
    }
    files.put("list_eval_partition.csv", "a.png,0\nb.png,0\nb.png,0\na.png,2\n");
    CHECK(mentions(refusal(files.spec(",size=1")), "line 4 of"));
    CHECK(mentions(refusal(files.spec(",size=1")), "gives 'a.png' another split"));
    // Where there are both, the university's own comes first.
    files.put("list_eval_partition.txt", "a,1 b.png 2\na,2 b.png\t0\na,3 b.png 2\n");
    CHECK(Told(files.spec(",size=1")).firsts == std::vector{2});
  }

  TEST_CASE("what a partition and a folder do not have in common is said, and a partition that is not used") {
    const Folder files;
    for (const char* name : {"celeba/faces/1.png", "celeba/faces/2.png", "celeba/faces/x.png", "cats/y.png"})
      files.put_plain(name, std::string_view(name).ends_with("/1.png") ? 1 : 2);
    files.put("celeba/list_eval_partition.csv", "image_id,partition\n1.png,0\n2.png,2\n3.png,0\n4.png,1\n");
    const Told told(files.spec("/celeba,size=1"));
    CHECK(told.firsts == std::vector{1});
    CHECK(mentions(told.notes, "list_eval_partition.csv' does not name, and leaves out: 'faces/x.png'\n"));
    CHECK(mentions(told.notes, "2 of the 4 images that "));
    const Told above(files.spec(",size=1"));
    CHECK(above.firsts.size() == 4);
    CHECK(mentions(above.notes, "'celeba/list_eval_partition.csv' in "));
    CHECK(mentions(above.notes, "was not heeded: name the folder that it lies in"));
    const Told cats(files.spec("/cats,size=1"));
    CHECK(cats.notes == "");
    CHECK(mentions(refusal(files.spec("/cats,size=1"), Split::test), "has no test split"));
  }

  TEST_CASE("a folder's name may hold commas: the longest that is there ends where options begin") {
    const Folder files;
    files.put_plain("a/1.png", 1);
    files.put_plain("a,b/2.png", 2);
    files.put_plain("a,b,grey/3.png", 3);
    files.put_plain("a,size=2/4.png", 4);
    files.put_plain(",/5.png", 5);
    const auto first = [&](const std::string& name) {
      const Dataset data = load_dataset(files.spec("/" + name));
      return std::vector<int64_t>{data.x.data<uint8_t>()[0], data.width, data.channels};
    };
    CHECK(first("a,size=1") == std::vector<int64_t>{1, 1, 3});
    CHECK(first("a,size=1,grey") == std::vector<int64_t>{1, 1, 1});
    CHECK(first("a,b,size=1") == std::vector<int64_t>{2, 1, 3});
    CHECK(first("a,b") == std::vector<int64_t>{2, 64, 3});
    CHECK(first("a,b,size=1,grey") == std::vector<int64_t>{2, 1, 1});
    CHECK(first("a,b,grey,size=1") == std::vector<int64_t>{3, 1, 3});  // the longest
    CHECK(first("a,b/,grey,size=1") == std::vector<int64_t>{2, 1, 1});
    CHECK(first("a,size=2") == std::vector<int64_t>{4, 64, 3});
    CHECK(first("a,size=2,size=3") == std::vector<int64_t>{4, 3, 3});
    CHECK(first("a/,size=2") == std::vector<int64_t>{1, 2, 3});
    CHECK(first(",,size=2") == std::vector<int64_t>{5, 2, 3});
    CHECK(
        mentions(refusal(files.spec("/a,c,size=1")), "unknown option 'c', and no folder of that name after"));
    CHECK(mentions(refusal(files.spec("/a,b,")), "unknown option ''"));
    CHECK(mentions(refusal(files.spec("/none,b")), "unknown option 'b', and no folder of that name"));
    CHECK(mentions(refusal(files.spec("/none,size=4")), "there is no folder"));
  }
}

}  // namespace elbo
