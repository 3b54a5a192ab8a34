"""What a person does to a tree, edit by edit: EDITS, {name: function}.

Each function gets the folder where the backup of trees.fill_for_edits is
mounted and can be edited.
"""

from trees import *

SMS = "HomeDomain/Library/SMS/sms.db"
DCIM = "CameraRollDomain/Media/DCIM/100APPLE"
DOCUMENTS = APP + "/Documents"

EDITS = {}


def edit(function):
    EDITS[function.__name__.replace("_", " ")] = function
    return function


def rewrite(path, data, keep_time=True):
    """New content in the same file, as a program does that hides it."""
    st = os.stat(path)
    with open(path, "r+b") as f:
        f.write(data)
    if keep_time:
        os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns))


@edit
def content_of_the_same_size_and_time(at):
    before = os.stat(f"{at}/{SMS}")
    rewrite(f"{at}/{SMS}", b"edited")
    after = os.stat(f"{at}/{SMS}")
    equal((after.st_size, after.st_mtime_ns),
          (before.st_size, before.st_mtime_ns))


def replace(path, data):
    """As an editor saves: the file is another one, without attributes."""
    st = os.stat(path)
    save(path + ".new", data)
    os.chmod(path + ".new", st.st_mode & 0o7777)
    os.utime(path + ".new", ns=(st.st_atime_ns, st.st_mtime_ns))
    os.rename(path + ".new", path)


@edit
def content_of_the_same_size_and_time_in_another_file(at):
    replace(f"{at}/{SMS}", bytes(os.path.getsize(f"{at}/{SMS}")))


@edit
def truncated_to_nothing(at):
    os.truncate(f"{at}/{SMS}", 0)


@edit
def sizes_around_the_borders_of_a_block(at):
    for old, new in ((15, 16), (16, 17), (17, 15), (0, 1), (1, 0),
                     (4096, 4097), (65537, 65536)):
        os.truncate(f"{at}/{DOCUMENTS}/sizes/{old}", new)


@edit
def appended(at):
    with open(f"{at}/{SMS}", "ab") as f:
        f.write(b"one line more")


@edit
def a_hole_in_the_middle_of_a_file(at):
    os.truncate(f"{at}/{HELLO}", 3 << 20)
    with open(f"{at}/{HELLO}", "ab") as f:
        f.write(b"the end")


@edit
def other_permissions(at):
    os.chmod(f"{at}/{SMS}", 0o640)
    os.chmod(f"{at}/{DOCUMENTS}/sizes/16", 0o4755)
    os.chmod(f"{at}/{DOCUMENTS}", 0o1777)
    os.chmod(f"{at}/HomeDomain", 0o711)


@edit
def touched(at):
    os.utime(f"{at}/{SMS}")
    os.utime(f"{at}/{HELLO}", (915148800, 915148800))
    os.utime(f"{at}/{DOCUMENTS}/sizes/16", (-86400, -86400))
    os.utime(f"{at}/{DOCUMENTS}", (1, 1))
    os.utime(f"{at}/{DOCUMENTS}/link", (2, 2), follow_symlinks=False)


@edit
def attributes_of_its_own(at):
    os.setxattr(f"{at}/{HELLO}", "user.com.example.note", b"other")
    os.setxattr(f"{at}/{HELLO}", "user.\u00fcber", b"\0\xff")
    os.setxattr(f"{at}/{SMS}", "user.com.example.new", b"")
    os.setxattr(f"{at}/HomeDomain", "user.com.example.new", b"folder")
    os.removexattr(f"{at}/{HELLO}", "user.com.example.empty")
    os.removexattr(f"{at}/{DCIM}/IMG_0001.JPG", "user.com.example.album")


@edit
def attributes_and_content(at):
    os.setxattr(f"{at}/{HELLO}", "user.com.example.note", b"other")
    rewrite(f"{at}/{HELLO}", b"bye")


@edit
def new_files_beside_old_ones(at):
    save(f"{at}/{DCIM}/IMG_0009.JPG", b"a new picture")
    save(f"{at}/KeychainDomain/new", b"")
    save(f"{at}/{DOCUMENTS}/large", b"0123456789abcdef" * 70000)


@edit
def new_folders(at):
    os.makedirs(f"{at}/{DOCUMENTS}/a/b/c/d/e")
    save(f"{at}/{DOCUMENTS}/a/b/c/file", b"deep")
    os.mkdir(f"{at}/{DCIM}/empty", 0o700)


@edit
def new_links(at):
    os.symlink("hello.txt", f"{at}/{DOCUMENTS}/new link")
    os.symlink("/etc/passwd", f"{at}/{DOCUMENTS}/absolute")
    os.symlink("../../" * 100, f"{at}/HomeDomain/long")
    os.symlink("\u00fcber", f"{at}/HomeDomain/gr\u00fc\u00dfe")


@edit
def a_link_that_leads_elsewhere(at):
    os.unlink(f"{at}/{DOCUMENTS}/link")
    os.symlink("elsewhere", f"{at}/{DOCUMENTS}/link")


@edit
def a_link_that_leads_elsewhere_as_long_and_at_the_same_time(at):
    path = f"{at}/{DOCUMENTS}/link"
    st = os.lstat(path)
    os.unlink(path)
    os.symlink("jello.txt", path)
    os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns), follow_symlinks=False)


@edit
def a_file_in_place_of_a_link(at):
    os.unlink(f"{at}/{DOCUMENTS}/link")
    save(f"{at}/{DOCUMENTS}/link", b"now a file")


@edit
def a_link_in_place_of_a_file(at):
    os.unlink(f"{at}/{SMS}")
    os.symlink("sms.sqlite", f"{at}/{SMS}")


@edit
def a_folder_in_place_of_a_file(at):
    os.unlink(f"{at}/{SMS}")
    os.mkdir(f"{at}/{SMS}")
    save(f"{at}/{SMS}/in it", b"a file in it")


@edit
def a_file_in_place_of_a_folder(at):
    shutil.rmtree(f"{at}/{DOCUMENTS}/sizes")
    save(f"{at}/{DOCUMENTS}/sizes", b"now a file")


@edit
def a_link_in_place_of_a_folder(at):
    shutil.rmtree(f"{at}/{DCIM}")
    os.symlink("101APPLE", f"{at}/{DCIM}")


@edit
def a_folder_in_place_of_a_link(at):
    os.unlink(f"{at}/{DOCUMENTS}/link")
    os.makedirs(f"{at}/{DOCUMENTS}/link/deeper")


@edit
def a_folder_made_anew(at):
    shutil.rmtree(f"{at}/{DOCUMENTS}/sizes")
    os.mkdir(f"{at}/{DOCUMENTS}/sizes")
    save(f"{at}/{DOCUMENTS}/sizes/16", b"the same name")


@edit
def removed_files(at):
    os.unlink(f"{at}/{SMS}")
    os.unlink(f"{at}/{DOCUMENTS}/link")
    os.unlink(f"{at}/{GROUP}/Library/Preferences/p.plist")


@edit
def removed_folders(at):
    shutil.rmtree(f"{at}/CameraRollDomain/Media/DCIM")
    os.rmdir(f"{at}/{DOCUMENTS}/empty folder")


@edit
def a_removed_domain(at):
    shutil.rmtree(f"{at}/{WIDGET}")
    shutil.rmtree(f"{at}/CameraRollDomain")


@edit
def a_new_domain(at):
    os.makedirs(f"{at}/AppDomain-com.example.new/Documents")
    save(f"{at}/AppDomain-com.example.new/Documents/new", b"new")
    os.mkdir(f"{at}/BooksDomain")


@edit
def a_file_moved_within_its_folder(at):
    os.rename(f"{at}/{SMS}", f"{at}/{SMS}.old")


@edit
def files_moved_to_other_domains(at):
    os.rename(f"{at}/KeychainDomain/keychain-backup.plist",
              f"{at}/{DOCUMENTS}/keychain")
    os.rename(f"{at}/{DCIM}/IMG_0001.JPG", f"{at}/HomeDomain/picture")


@edit
def a_folder_moved(at):
    move(f"{at}/{DCIM}", f"{at}/HomeDomain/Library/pictures")


def move(one, other):
    equal(execute("mv", "-T", one, other).stderr, "")


@edit
def two_files_that_changed_places(at):
    for a, b in ((f"{at}/{DCIM}/IMG_0001.JPG", f"{at}/{DCIM}/IMG_0002.JPG"),
                 (f"{at}/{SMS}", f"{at}/{HELLO}")):
        os.rename(a, f"{at}/aside")
        os.rename(b, a)
        os.rename(f"{at}/aside", b)


@edit
def two_folders_that_changed_places(at):
    move(f"{at}/{DCIM}", f"{at}/aside")
    move(f"{at}/CameraRollDomain/Media/DCIM/101APPLE", f"{at}/{DCIM}")
    move(f"{at}/aside", f"{at}/CameraRollDomain/Media/DCIM/101APPLE")


@edit
def a_copy_of_which_one_is_edited(at):
    for name in ("copy", "second copy"):
        equal(execute("cp", "-a", f"{at}/{HELLO}",
                      f"{at}/{DOCUMENTS}/{name}").stderr, "")
    save(f"{at}/{DOCUMENTS}/copy", b"edited")


@edit
def one_of_two_names_of_a_file(at):
    rewrite(f"{at}/HomeDomain/Library/Links/two", b"edited")


@edit
def one_of_two_names_of_a_file_is_touched(at):
    os.utime(f"{at}/HomeDomain/Library/Links/two")


@edit
def both_names_of_a_file(at):
    rewrite(f"{at}/HomeDomain/Library/Links/one", b"edited")
    rewrite(f"{at}/HomeDomain/Library/Links/two", b"differs")


@edit
def a_new_name_of_a_file(at):
    os.link(f"{at}/{SMS}", f"{at}/{SMS}.linked")
    save(f"{at}/{DOCUMENTS}/fresh", b"fresh")
    os.link(f"{at}/{DOCUMENTS}/fresh", f"{at}/{DOCUMENTS}/fresh too")


NAMES = ("\u00fcbung", "u\u0308bung", "\U0001f600 \u65e5\u672c\u8a9e",
         "a b ", "100%", "%2F", "%2E%2E", "x%file", "x%2", "line\nbreak",
         "tab\t", "back\\slash", "-rf", "...", ".hidden", "~", "n" * 255,
         "\u65e5" * 85, "*?[]", "\x01\x7f", "quote'\"`$x")


@edit
def odd_names(at):
    for name in NAMES:
        save(f"{at}/HomeDomain/{name}", name.encode())
        os.makedirs(f"{at}/{DOCUMENTS}/folders/{name}")
        os.symlink(name, f"{at}/{DOCUMENTS}/folders/{name}/link")


def all_of_them(at):
    """What can be done together."""
    for function in (
            content_of_the_same_size_and_time, appended, new_folders,
            attributes_of_its_own, new_links, a_copy_of_which_one_is_edited,
            one_of_two_names_of_a_file, a_folder_moved, new_domain_of_files,
            odd_names, a_file_in_place_of_a_link,
            sizes_around_the_borders_of_a_block):
        function(at)
    shutil.rmtree(f"{at}/{WIDGET}")
    os.unlink(f"{at}/WirelessDomain/Library/usage.db")


def new_domain_of_files(at):
    a_new_domain(at)
    os.rename(f"{at}/KeychainDomain/keychain-backup.plist",
              f"{at}/AppDomain-com.example.new/Documents/keychain")
